package main

import (
	"bytes"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows returns the cells of the table, a line for each window.
func rows(t *testing.T, text, name string) [][]string {
	t.Helper()
	var out [][]string
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == name && f[1] != "before" {
			out = append(out, f)
		}
	}
	return out
}

func TestBench(t *testing.T) {
	bin, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		var out bytes.Buffer
		err := command(t.Context(), []string{
			"-bin", bin, "-series", "600", "-samples", "4", "-windows", "2", "-batch", "100", "-settle", "1ms", "-remote-write", version, "-churn", "0.5",
		}, &out)
		if err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		got := rows(t, out.String(), "luminate")
		if len(got) != 2 {
			t.Fatalf("want two windows:\n%s", &out)
		}
		for i, r := range got {
			if len(r) != 16 || r[1] != strconv.Itoa(i) || r[2] != "2402" || r[14] != "0" {
				t.Errorf("window %d: %q", i, r)
			}
			for _, cell := range append(r[3:6:6], r[8:14]...) {
				if v, err := strconv.ParseFloat(cell, 64); err != nil || v <= 0 {
					t.Errorf("window %d: %s is no measurement", i, cell)
				}
			}
		}
		if !regexp.MustCompile(`restart after kill -9 with 2402 samples in the log: ready after \d+\.\d\d s`).MatchString(out.String()) {
			t.Errorf("no restart:\n%s", &out)
		}
	}
}

// A server that runs already is measured and left alone.
func TestBenchOfARunningServer(t *testing.T) {
	bin, err := process.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, err := process.StartLuminate(t.Context(), bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	args := []string{
		"-name", "peer", "-url", p.URL(), "-pid", strconv.Itoa(p.PID()), "-dir", filepath.Join(dir, "data"),
		"-series", "10", "-samples", "2", "-windows", "1", "-settle", "1ms",
	}
	var out bytes.Buffer
	if err := command(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if got := rows(t, out.String(), "peer"); len(got) != 1 || got[0][2] != "22" {
		t.Errorf("want one window of 22 samples:\n%s", &out)
	}
	// This one lets nobody administer.
	err = command(t.Context(), append(args, "-flush", ownFlush), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a flush that is refused: %v", err)
	}
	select {
	case <-p.Done():
		t.Error("the server has ended")
	default:
	}
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"-series 0":           "-series",
		"-series 1":           "each connection needs a series",
		"-churn 2":            "-churn is 2",
		"-remote-write 3":     "-remote-write is 3",
		"-url http://x":       "-pid and -dir",
		"-bin /does/not/live": "no such file",
	} {
		err := command(t.Context(), append(strings.Fields(args), "-settle", "1ms"), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", args, err, want)
		}
	}
}
