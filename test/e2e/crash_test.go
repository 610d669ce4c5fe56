package e2e_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

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
	a, b := newLedger("ledger-a"), newLedger("ledger-b")
	all := writers(a, b)
	dir := t.TempDir()
	for i := range cycles {
		if i%4 == 3 {
			killEarly(t, dir, time.Duration(random.IntN(200))*time.Millisecond)
		}
		server := start(t, dir, small()...)
		a.verify(t, server.URL())
		b.verify(t, server.URL())
		stop := load(t, all, server.URL())
		waitAcknowledged(t, 50+random.IntN(5000), a, b)
		if i%5 == 4 { // Now and then in order, so that all paths lie behind one another.
			if code, err := server.Stop(30 * time.Second); err != nil || code != 0 {
				t.Fatalf("exit code %d, %v", code, err)
			}
		} else if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		stop()
		if t.Failed() {
			return
		}
	}
	server := start(t, dir)
	a.verify(t, server.URL())
	b.verify(t, server.URL())
	t.Logf("%d cycles, %d samples acknowledged", cycles, a.acknowledged()+b.acknowledged())
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
	a, b := newLedger("ledger-a"), newLedger("ledger-b")
	all := writers(a, b)
	dir := t.TempDir()
	for range 3 {
		server := start(t, dir)
		stop := load(t, all, server.URL())
		waitAcknowledged(t, 1000, a, b)
		code, err := server.Stop(30 * time.Second)
		stop()
		if err != nil || code != 0 {
			t.Fatalf("exit code %d, %v; output:\n%s", code, err, tail(server.Output(), 4000))
		}
	}
	server := start(t, dir)
	a.verify(t, server.URL())
	b.verify(t, server.URL())
}
