package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/ledger"
	"github.com/luminate-metrics/luminate/test/process"
)

// killCyclesVariable says how often TestKill kills the server.
const killCyclesVariable = "LUMINATE_TEST_KILL_CYCLES"

// A server that is killed in the middle of writes keeps all that it acknowledged, and invents nothing.
func TestKill(t *testing.T) {
	t.Parallel()
	cycles := 20
	if v := os.Getenv(killCyclesVariable); v != "" {
		var err error
		if cycles, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s: %v", killCyclesVariable, err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	a, b := ledger.New("ledger-a"), ledger.New("ledger-b")
	all := ledger.Writers(6, ledger.Small, a, b)
	dir := t.TempDir()
	for i := range cycles {
		if i%4 == 3 {
			killEarly(t, dir, time.Duration(random.IntN(200))*time.Millisecond)
		}
		server := start(t, dir, small()...)
		verify(t, server.URL(), a, b)
		stop := ledger.Load(t.Context(), all, server.URL())
		waitAcknowledged(t, 50+random.IntN(5000), a, b)
		if i%5 == 4 { // Now and then in order, so that all paths lie behind one another.
			if code, err := server.Stop(30 * time.Second); err != nil || code != 0 {
				t.Fatalf("exit code %d, %v", code, err)
			}
		} else if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	server := start(t, dir)
	verify(t, server.URL(), a, b)
	t.Logf("%d cycles, %d samples acknowledged", cycles, a.Acknowledged()+b.Acknowledged())
}

// verify holds the server to the ledgers.
func verify(t *testing.T, base string, ledgers ...*ledger.Ledger) {
	t.Helper()
	for _, l := range ledgers {
		if err := l.Verify(t.Context(), base); err != nil {
			t.Fatal(err)
		}
	}
}

// waitAcknowledged waits until that many more samples than before are acknowledged.
func waitAcknowledged(t *testing.T, more int, ledgers ...*ledger.Ledger) {
	t.Helper()
	count := func() (n int) {
		for _, l := range ledgers {
			n += l.Acknowledged()
		}
		return n
	}
	before := count()
	eventually(t, time.Minute, func(context.Context) error {
		if n := count() - before; n < more {
			return fmt.Errorf("%d samples acknowledged: want %d", n, more)
		}
		return nil
	})
}

// small makes the server move samples from memory to disk all the time, so that it is killed while it does.
func small() []string {
	return []string{"LUMINATE_STORAGE_BADGER_MAX_HEAD_SAMPLES=2000", "LUMINATE_STORAGE_BADGER_WAL_SEGMENT_BYTES=16MiB"}
}

// killEarly starts the server and kills it before it may be ready, in the middle of its recovery.
func killEarly(t *testing.T, dir string, after time.Duration) {
	t.Helper()
	spec := process.Luminate(os.Getenv(binaryVariable), dir, small()...)
	spec.Address, spec.Ready = nil, ""
	p, err := process.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.Done():
		t.Errorf("the server ended by itself:\n%s", p.Output())
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// A server that is asked to stop under load answers what it has taken in, ends with code 0, and loses nothing.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	a, b := ledger.New("ledger-a"), ledger.New("ledger-b")
	all := ledger.Writers(6, ledger.Small, a, b)
	dir := t.TempDir()
	for range 3 {
		server := start(t, dir)
		stop := ledger.Load(t.Context(), all, server.URL())
		waitAcknowledged(t, 1000, a, b)
		code, err := server.Stop(30 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if err != nil || code != 0 {
			t.Fatalf("exit code %d, %v; output:\n%s", code, err, tail(server.Output(), 4000))
		}
	}
	server := start(t, dir)
	verify(t, server.URL(), a, b)
}
