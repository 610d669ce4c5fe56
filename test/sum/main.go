// Command sum reads what "go test -json" writes and says in short what happened: a line for each package, the whole
// output of each test that failed, the name of each test that was skipped, and the counts on the last line.
//
//	go test -json ./... | sum           # follows a run
//	sum -tally first.json second.json   # the counts of several recorded runs; a test that failed in one of them failed
//
// It exits with 1 if anything failed or no test ran.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sum", flag.ContinueOnError)
	flags.SetOutput(stderr)
	tally := flags.Bool("tally", false, "print nothing but the counts")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	details := stdout
	if *tally {
		details = io.Discard
	}
	s := newSummary(details)
	if err := s.readAll(flags.Args(), stdin); err != nil {
		fmt.Fprintf(stderr, "sum: %v\n", err)
		return 2
	}
	passed, failed, skipped := s.counts()
	if passed+failed == 0 {
		fmt.Fprintln(stderr, "sum: no test ran")
	}
	fmt.Fprintf(stdout, "%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		return 1
	}
	return 0
}
