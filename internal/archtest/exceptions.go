package archtest

// Exceptions returns the places that may break a rule. One that covers nothing any more is an error, too.
func Exceptions() []Exception {
	return []Exception{
		{
			Rule: "size", Path: "promql/planner.go",
			Reason: "the planner implements upstream's QueryEngine, which fixes the parameters",
		},
		{
			Rule: "size", Path: "store/storetest/promql.go",
			Reason: "the bridge to promqltest implements upstream's AppenderV2, which fixes the parameters",
		},
		{
			Rule: "skips", Path: "test/faults/disk_test.go",
			Reason: "power cuts and small disks need root and loop devices, which make test can't install; the test prints what is missing",
		},
	}
}
