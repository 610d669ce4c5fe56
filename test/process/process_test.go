package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func shell(script string) process.Spec {
	return process.Spec{Path: "/bin/sh", Args: []string{"-c", script}, Address: func(line string) (string, bool) {
		return strings.CutPrefix(strings.TrimSpace(line), "at ")
	}}
}

func TestStopReturnsTheExitCode(t *testing.T) {
	p, err := process.Start(t.Context(), shell(`trap 'exit 3' TERM; echo at 127.0.0.1:1; while :; do read x <&- || sleep 0.05; done`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Address() != "127.0.0.1:1" {
		t.Errorf("address %q", p.Address())
	}
	if code, err := p.Stop(10 * time.Second); code != 3 || err != nil {
		t.Errorf("want code 3, got %d, %v", code, err)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	p, err := process.Start(t.Context(), shell(`trap '' TERM; echo at 127.0.0.1:1; exec sleep 60`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Stop(50 * time.Millisecond); err == nil {
		t.Error("want an error")
	}
	select {
	case <-p.Done():
	default:
		t.Error("it is still running")
	}
}

func TestStartTellsWhyAProgramEnded(t *testing.T) {
	_, err := process.Start(t.Context(), shell(`echo the disk is full >&2; exit 1`))
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("want an error with the output, got %v", err)
	}
}

func TestStartHidesSettingsOfItsOwnEnvironment(t *testing.T) {
	t.Setenv("LUMINATE_TEST_X", "1")
	spec := shell(`echo at "[$LUMINATE_TEST_X$ADDED]"`)
	spec.Env = []string{"ADDED=2"}
	p, err := process.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if p.Address() != "[2]" {
		t.Errorf("want [2], got %q", p.Address())
	}
}

func TestPollReturnsTheLastErrorThatSaysSomething(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := process.Poll(ctx, func(ctx context.Context) error {
		if calls++; calls == 2 {
			cancel()
			return ctx.Err()
		}
		return errors.New("not yet")
	})
	if err == nil || err.Error() != "not yet" {
		t.Errorf("want the error before the end, got %v", err)
	}
}
