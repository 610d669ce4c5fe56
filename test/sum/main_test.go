package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines joins events to a stream in which every line is ended.
func lines(events ...string) string { return strings.Join(events, "\n") + "\n" }

func TestFollow(t *testing.T) {
	f := func(name, input, want string, wantCode int) {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(nil, strings.NewReader(input), &out, &errs)
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s: output differs (-want +got):\n%s", name, diff)
		}
		if code != wantCode {
			t.Errorf("%s: exit code %d, want %d", name, code, wantCode)
		}
	}
	f("all pass", lines(
		`{"Action":"start","Package":"p"}`,
		`{"Action":"run","Package":"p","Test":"A"}`,
		`{"Action":"output","Package":"p","Test":"A","Output":"noise\n"}`,
		`{"Action":"pass","Package":"p","Test":"A"}`,
		`{"Action":"pass","Package":"p","Elapsed":1.25}`,
		`{"Action":"skip","Package":"q"}`,
	), lines("ok   p 1.2s", "-    q (no tests)", "1 passed, 0 failed, 0 skipped"), 0)

	f("a failure shows its output, a skip its reason", lines(
		`{"Action":"run","Package":"p","Test":"A"}`,
		`{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:7: got 1\n"}`,
		`{"Action":"fail","Package":"p","Test":"A"}`,
		`{"Action":"run","Package":"p","Test":"B"}`,
		`{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:3: no engine\n"}`,
		`{"Action":"output","Package":"p","Test":"B","Output":"--- SKIP: B (0.00s)\n"}`,
		`{"Action":"skip","Package":"p","Test":"B"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\n"}`,
		`{"Action":"fail","Package":"p","Elapsed":2}`,
	), lines(
		"---- output of p A", "    a_test.go:7: got 1",
		"skip p B: b_test.go:3: no engine",
		"FAIL", "FAIL p 2.0s",
		"0 passed, 1 failed, 1 skipped"), 1)

	f("a package that does not compile is one failure", lines(
		`{"ImportPath":"p.test","Action":"build-output","Output":"p/a.go:1: undefined: x\n"}`,
		`{"ImportPath":"p.test","Action":"build-fail"}`,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}`,
		`{"Action":"fail","Package":"p","FailedBuild":"p.test"}`,
	), lines("p/a.go:1: undefined: x", "FAIL\tp [build failed]", "FAIL p 0.0s", "0 passed, 1 failed, 0 skipped"), 1)

	f("a package that fails after its tests is one failure", lines(
		`{"Action":"run","Package":"p","Test":"A"}`,
		`{"Action":"pass","Package":"p","Test":"A"}`,
		`{"Action":"output","Package":"p","Output":"goleak: leaked\n"}`,
		`{"Action":"fail","Package":"p"}`,
	), lines("goleak: leaked", "FAIL p 0.0s", "1 passed, 1 failed, 0 skipped"), 1)

	f("a test without an end failed", lines(
		`{"Action":"run","Package":"p","Test":"A"}`,
		`{"Action":"output","Package":"p","Test":"A","Output":"os.Exit\n"}`,
		`{"Action":"fail","Package":"p"}`,
	), lines("---- output of p A", "os.Exit", "FAIL p 0.0s", "0 passed, 1 failed, 0 skipped"), 1)

	f("a run that was cut off failed", lines(
		`{"Action":"start","Package":"p"}`,
		`{"Action":"run","Package":"p","Test":"A"}`,
		`{"Action":"pass","Package":"p","Test":"A"}`,
	), lines("FAIL p did not finish", "1 passed, 1 failed, 0 skipped"), 1)

	f("no test at all is no success", "", lines("0 passed, 0 failed, 0 skipped"), 1)
	f("other text is passed on", "warning: x\n", lines("warning: x", "0 passed, 0 failed, 0 skipped"), 1)
}

func TestTally(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, events ...string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(lines(events...)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain.json",
		`{"Action":"pass","Package":"p","Test":"A"}`, `{"Action":"pass","Package":"p","Test":"B"}`, `{"Action":"skip","Package":"p","Test":"C"}`)
	race := write("race.json",
		`{"Action":"pass","Package":"p","Test":"A"}`, `{"Action":"fail","Package":"p","Test":"B"}`, `{"Action":"pass","Package":"p","Test":"C"}`)

	var out, errs bytes.Buffer
	if code := run([]string{"-tally", plain, race}, nil, &out, &errs); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if got, want := out.String(), "1 passed, 1 failed, 1 skipped\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if code := run([]string{filepath.Join(dir, "missing")}, nil, &out, &errs); code != 2 {
		t.Errorf("a missing file gives exit code %d, want 2", code)
	}
}
