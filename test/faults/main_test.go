// Package faults takes the disk, the power and the process away from a whole server, and damages its files.
//
// Nothing of Luminate is imported: what holds here holds for a user. LUMINATE_TEST_BINARY names a server to test in
// place of one that is built; LUMINATE_TEST_FAULT_KILLS and LUMINATE_TEST_FAULT_CUTS are how often it is killed and how
// often its power is cut, and LUMINATE_TEST_SOAK_TIME how long it is watched under a steady load. Tests that need root and
// loop devices say so where those are missing.
package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/ledger"
	"github.com/luminate-metrics/luminate/test/process"
)

const (
	binaryVariable = "LUMINATE_TEST_BINARY"
	killsVariable  = "LUMINATE_TEST_FAULT_KILLS"
	cutsVariable   = "LUMINATE_TEST_FAULT_CUTS"

	// insideVariable says that the process has mounts of its own.
	insideVariable = "LUMINATE_TEST_FAULT_INSIDE"
)

func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) == "" {
		if code, ok := again(); ok {
			os.Exit(code)
		}
	}
	remove := func() {}
	if os.Getenv(binaryVariable) == "" {
		dir, err := os.MkdirTemp("", "luminate-faults-")
		if err == nil {
			remove = func() { _ = os.RemoveAll(dir) }
			var bin string
			if bin, err = process.Build(context.Background(), dir); err == nil {
				err = os.Setenv(binaryVariable, bin)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		remove()
		os.Exit(code)
	}))
}

// again runs this program once more with mounts that nobody else sees. However it ends, the kernel takes them away, and
// the loop devices with them. It is not ok if that is not allowed here.
func again() (code int, ok bool) {
	runtime.LockOSThread() // The signal comes when the thread ends that started the process.
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, false // The tests say what they miss.
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), true
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// cycles is the number that a variable says, or short.
func cycles(t *testing.T, variable string, short int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return short
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// spec says how to run the server with its data below dir, without own metrics and with the given settings.
func spec(dir string, settings ...string) process.Spec {
	return process.Luminate(os.Getenv(binaryVariable), dir, append([]string{"LUMINATE_SELF_METRICS_ENABLED=false"}, settings...)...)
}

// start runs the server until it is ready, and kills it at the end of the test.
func start(t *testing.T, dir string, settings ...string) *process.Process {
	t.Helper()
	p, err := process.Start(t.Context(), spec(dir, settings...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopped := p.Asked() // What a test has ended itself has nothing to say.
		_ = p.Kill()
		if t.Failed() && !stopped {
			t.Logf("output of %s, its last part:\n%s", p.URL(), tail(p.Output(), 4000))
		}
	})
	return p
}

// refused runs a server that is to end by itself, and returns its output.
func refused(t *testing.T, dir string, settings ...string) string {
	t.Helper()
	s := spec(dir, settings...)
	s.Address, s.Ready = nil, ""
	p, err := process.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	if code := ended(t, p, 30*time.Second); code != 1 {
		t.Fatalf("exit code %d; output:\n%s", code, tail(p.Output(), 4000))
	}
	return p.Output()
}

// ended waits until a server has ended by itself, and returns its exit code.
func ended(t *testing.T, p *process.Process, limit time.Duration) int {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		_ = p.Kill()
		t.Fatalf("the server has not ended within %v; output:\n%s", limit, tail(p.Output(), 4000))
	}
	code, err := p.Stop(time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func stopped(t *testing.T, p *process.Process) {
	t.Helper()
	if code, err := p.Stop(60 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v; output:\n%s", code, err, tail(p.Output(), 4000))
	}
}

func killed(t *testing.T, p *process.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}

func newClient(t *testing.T, base string) *client.Client {
	t.Helper()
	c := client.New(base, "probe")
	t.Cleanup(c.Close)
	return c
}

// eventually calls f until it returns nil, and fails the test with its last error when that takes longer than the limit.
func eventually(t *testing.T, limit time.Duration, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := process.Poll(ctx, f); err != nil {
		t.Fatalf("not within %v: %v", limit, err)
	}
}

// verify holds the server to the ledgers.
func verify(t *testing.T, p *process.Process, ledgers ...*ledger.Ledger) {
	t.Helper()
	for _, l := range ledgers {
		if err := l.Verify(t.Context(), p.URL()); err != nil {
			t.Fatal(err)
		}
	}
}

func acknowledged(ledgers ...*ledger.Ledger) (n int) {
	for _, l := range ledgers {
		n += l.Acknowledged()
	}
	return n
}

// waitAcknowledged waits until that many more samples than before are acknowledged.
func waitAcknowledged(t *testing.T, more int, ledgers ...*ledger.Ledger) {
	t.Helper()
	before := acknowledged(ledgers...)
	eventually(t, time.Minute, func(context.Context) error {
		if n := acknowledged(ledgers...) - before; n < more {
			return fmt.Errorf("%d samples acknowledged: want %d", n, more)
		}
		return nil
	})
}
