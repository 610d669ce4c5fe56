package faults_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/ledger"
)

// small makes the server move samples from memory to disk all the time, so that it is hit while it does.
func small() []string {
	return []string{
		"LUMINATE_STORAGE_BADGER_MAX_HEAD_SAMPLES=20000", "LUMINATE_STORAGE_BADGER_WAL_SEGMENT_BYTES=16MiB",
		"LUMINATE_AUTH_HEADER_ADMIN=true",
	}
}

// A rewriting makes the server write all its partitions anew, again and again until the server is gone.
type rewriting struct {
	cancel context.CancelFunc
	done   chan struct{} // Gets a value at each end of a rewriting, if there is none in it.
	failed chan error
}

// maybeRewrite begins it half of the time, and half of these times waits until it has been done once.
func maybeRewrite(t *testing.T, random *rand.Rand, base string) *rewriting {
	t.Helper()
	kind := random.IntN(4)
	if kind < 2 {
		return nil
	}
	r := rewrite(t, base)
	if kind == 3 {
		r.wait(t)
	}
	return r
}

// rewrite begins it. What is deleted for it is nothing that anybody has written.
func rewrite(t *testing.T, base string) *rewriting {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &rewriting{cancel, make(chan struct{}, 1), make(chan error, 1)}
	go func() {
		c := client.New(base, "kill-a")
		defer c.Close()
		for {
			reply, err := c.PostJSON(ctx, "/luminate/v1/delete", `{"metric":"nothing","from":0,"to":"now","filters":[]}`)
			if err == nil && reply.OK() {
				reply, err = c.PostJSON(ctx, "/luminate/v1/admin/flush?seal=true", "")
			}
			switch {
			case err != nil: // It is gone.
				r.failed <- nil
				return
			case !reply.OK():
				r.failed <- errors.New(reply.String())
				return
			}
			select {
			case r.done <- struct{}{}:
			default:
			}
		}
	}()
	return r
}

// wait waits until all partitions were written anew once.
func (r *rewriting) wait(t *testing.T) {
	t.Helper()
	select {
	case <-r.done:
	case err := <-r.failed:
		t.Fatalf("writing the partitions anew: %v", err)
	}
}

// stop returns the first answer that was no success.
func (r *rewriting) stop() error {
	if r == nil {
		return nil
	}
	r.cancel()
	return <-r.failed
}

// volume is about how many samples a server takes before it is hit.
const volume = 50_000

// A server that is killed while eight clients write as fast as they can keeps all that it acknowledged, and invents
// nothing. Half of the time it is writing its partitions anew as well.
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
			anew := maybeRewrite(t, random, server.URL())
			waitAcknowledged(t, volume/2+random.IntN(volume), a, b)
			loading += time.Since(begin)
			total += acknowledged(a, b) - before
			killed(t, server)
			if err := errors.Join(stop(), anew.stop()); err != nil {
				t.Fatal(err)
			}
		}
		server := start(t, dir, small()...)
		verify(t, server, a, b)
		stopped(t, server)
	}
	t.Logf("%d cycles, %d samples acknowledged at %.0f samples/s", n, total, float64(total)/loading.Seconds())
}
