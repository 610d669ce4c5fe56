package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// An event is one line of "go test -json"; see "go doc test2json" and "go help buildjson".
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64 // Seconds.
	Output      string
	ImportPath  string // Of the package that a build event is about.
	FailedBuild string // The ImportPath of the build that kept this package from running.
}

// A test names one test or subtest; an empty name stands for the package itself.
type test struct{ pkg, name string }

// A summary gathers the events of one or more runs.
type summary struct {
	details io.Writer
	results map[test]string   // The worst of "pass", "skip" and "fail" over all runs.
	output  map[test][]string // Of the tests that run now.
	builds  map[string][]string
	running map[test]bool
}

func newSummary(details io.Writer) *summary {
	return &summary{
		details: details,
		results: map[test]string{},
		output:  map[test][]string{},
		builds:  map[string][]string{},
		running: map[test]bool{},
	}
}

// readAll reads the named files one after the other, or stdin if there are none.
func (s *summary) readAll(files []string, stdin io.Reader) error {
	if len(files) == 0 {
		return s.read(stdin)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = errors.Join(s.read(f), f.Close())
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// read takes in one run. Lines that are not JSON are passed on as they are.
func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprintln(s.details, strings.TrimRight(line, "\n"))
			} else {
				s.add(e)
			}
		}
		if errors.Is(err, io.EOF) {
			s.endOfRun()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) add(e event) {
	at := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		s.builds[e.ImportPath] = append(s.builds[e.ImportPath], e.Output)
	case "start", "run":
		s.running[at] = true
	case "output":
		s.output[at] = append(s.output[at], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endOfPackage(e)
		} else {
			s.endOfTest(at, e.Action)
		}
	}
}

func (s *summary) endOfTest(at test, result string) {
	switch result {
	case "fail":
		fmt.Fprintf(s.details, "---- output of %s %s\n%s", at.pkg, at.name, strings.Join(s.output[at], ""))
	case "skip":
		fmt.Fprintf(s.details, "skip %s %s: %s\n", at.pkg, at.name, reason(s.output[at]))
	}
	s.record(at, result)
	delete(s.output, at)
	delete(s.running, at)
}

// reason returns what the test said when it skipped itself.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

func (s *summary) endOfPackage(e event) {
	own := test{e.Package, ""}
	if e.Action == "fail" {
		s.failUnfinished(e.Package)
		// A package can fail though all of its tests pass: it does not compile, or its TestMain found a leak.
		if !s.anyFailed(e.Package) {
			s.record(own, "fail")
		}
		fmt.Fprint(s.details, strings.Join(s.builds[e.FailedBuild], ""), strings.Join(s.output[own], ""))
	}
	switch e.Action {
	case "skip":
		fmt.Fprintf(s.details, "-    %s (no tests)\n", e.Package)
	case "fail":
		fmt.Fprintf(s.details, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	default:
		fmt.Fprintf(s.details, "ok   %s %.1fs\n", e.Package, e.Elapsed)
	}
	delete(s.output, own)
	delete(s.running, own)
}

// endOfRun counts everything that began and did not end as failed: the go command itself was stopped.
func (s *summary) endOfRun() {
	for at := range s.running {
		if at.name == "" {
			fmt.Fprintf(s.details, "FAIL %s did not finish\n", at.pkg)
			s.failUnfinished(at.pkg)
			s.record(at, "fail")
			delete(s.running, at)
		}
	}
}

// failUnfinished ends the tests that a package left when it stopped.
func (s *summary) failUnfinished(pkg string) {
	var left []test
	for at := range s.running {
		if at.pkg == pkg && at.name != "" {
			left = append(left, at)
		}
	}
	slices.SortFunc(left, func(a, b test) int { return cmp.Compare(a.name, b.name) })
	for _, at := range left {
		s.endOfTest(at, "fail")
	}
}

func (s *summary) anyFailed(pkg string) bool {
	for at, result := range s.results {
		if at.pkg == pkg && result == "fail" {
			return true
		}
	}
	return false
}

// record keeps the worst result of a test.
func (s *summary) record(at test, result string) {
	worst := []string{"", "pass", "skip", "fail"}
	if slices.Index(worst, result) > slices.Index(worst, s.results[at]) {
		s.results[at] = result
	}
}

func (s *summary) counts() (passed, failed, skipped int) {
	for _, result := range s.results {
		switch result {
		case "pass":
			passed++
		case "fail":
			failed++
		case "skip":
			skipped++
		}
	}
	return passed, failed, skipped
}
