package e2e_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
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
	for range cycles {
		server := start(t, dir)
		a.verify(t, server.URL())
		b.verify(t, server.URL())
		stop := load(t, all, server.URL())
		waitAcknowledged(t, 50+random.IntN(1500), a, b)
		if err := server.Kill(); err != nil {
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
