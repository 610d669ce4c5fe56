package faults_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/ledger"
)

// small makes the server move samples from memory to disk all the time, so that it is hit while it does.
func small() []string {
	return []string{"LUMINATE_STORAGE_BADGER_MAX_HEAD_SAMPLES=20000", "LUMINATE_STORAGE_BADGER_WAL_SEGMENT_BYTES=16MiB"}
}

// volume is about how many samples a server takes before it is hit.
const volume = 50_000

// A server that is killed while eight clients write as fast as they can keeps all that it acknowledged, and invents
// nothing.
func TestKill(t *testing.T) {
	t.Parallel()
	const perStore = 10 // Cycles, after which all that was written would take too long to read.
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var total int
	var loading time.Duration
	n := cycles(t, killsVariable, 5)
	for done := 0; done < n; done += perStore {
		a, b := ledger.New("kill-a"), ledger.New("kill-b")
		writers := ledger.Writers(8, ledger.Large, a, b)
		dir := t.TempDir()
		for range min(perStore, n-done) {
			server := start(t, dir, small()...)
			verify(t, server, a, b)
			begin, before := time.Now(), acknowledged(a, b)
			stop := ledger.Load(t.Context(), writers, server.URL())
			waitAcknowledged(t, volume/2+random.IntN(volume), a, b)
			loading += time.Since(begin)
			total += acknowledged(a, b) - before
			killed(t, server)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
		server := start(t, dir, small()...)
		verify(t, server, a, b)
		stopped(t, server)
	}
	t.Logf("%d cycles, %d samples acknowledged at %.0f samples/s", n, total, float64(total)/loading.Seconds())
}
