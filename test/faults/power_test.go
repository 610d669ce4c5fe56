package faults_test

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/ledger"
)

// failing is how long a server may go on after its disk has failed.
const failing = 5 * time.Second

// When the power is cut in the middle of writes, the next start needs nobody's help and has everything that was
// acknowledged. Half of the time the server is writing its partitions anew as well.
func TestPowerCut(t *testing.T) {
	needMounts(t)
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const perStore = 10
	n, total := cycles(t, cutsVariable, 3), 0
	for done := 0; done < n; done += perStore {
		a, b := ledger.New("cut-a"), ledger.New("cut-b")
		writers := ledger.Writers(8, ledger.Large, a, b)
		d := newExt4(t, 512<<20)
		for range min(perStore, n-done) {
			server := start(t, d.dir, append(small(), "LUMINATE_STORAGE_BADGER_MIN_FREE_BYTES=32MiB")...)
			verify(t, server, a, b)
			stop := ledger.Load(t.Context(), writers, server.URL())
			anew := maybeRewrite(t, random, server.URL())
			waitAcknowledged(t, volume/4+random.IntN(volume), a, b)
			d.cut(t)
			if random.IntN(2) == 0 {
				if code := ended(t, server, failing); code != 1 {
					t.Fatalf("exit code %d after the disk has gone; output:\n%s", code, tail(server.Output(), 4000))
				}
			}
			killed(t, server)
			_ = anew.stop() // Without a disk it says so.
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			d.remount(t)
		}
		server := start(t, d.dir, append(small(), "LUMINATE_STORAGE_BADGER_MIN_FREE_BYTES=32MiB")...)
		verify(t, server, a, b)
		stopped(t, server)
		total += acknowledged(a, b)
	}
	t.Logf("%d power cuts, %d samples acknowledged", n, total)
}

// After the first failed sync nothing is acknowledged, and the server ends with an error.
func TestFailingSync(t *testing.T) {
	needMounts(t)
	t.Parallel()
	l := ledger.New("sync")
	d := newExt4(t, 256<<20)
	settings := []string{"LUMINATE_STORAGE_BADGER_MIN_FREE_BYTES=32MiB"}
	server := start(t, d.dir, settings...)
	writers := ledger.Writers(3, ledger.Small, l)
	if err := ledger.Once(t.Context(), writers, server.URL(), 20); err != nil {
		t.Fatal(err)
	}
	d.cut(t)
	before := l.Acknowledged()
	c := newClient(t, server.URL())
	for _, p := range client.Protocols() {
		reply, err := c.Write(t.Context(), p, client.One(l.Base(), 1, "__name__", "after"))
		switch {
		case err != nil: // It has ended.
		case reply.OK():
			t.Errorf("%v: acknowledged though the disk had failed: %v", p, reply)
		case reply.Status != http.StatusServiceUnavailable || reply.Header.Get("Retry-After") == "":
			t.Errorf("%v: want 503 with Retry-After: %v, %v", p, reply, reply.Header)
		}
	}
	if err := ledger.Once(t.Context(), writers, server.URL(), 1); err == nil || l.Acknowledged() != before {
		t.Error("a batch was acknowledged though the disk had failed")
	}
	if code := ended(t, server, failing); code != 1 {
		t.Errorf("exit code %d; output:\n%s", code, tail(server.Output(), 4000))
	}
	d.remount(t)
	server = start(t, d.dir, settings...)
	verify(t, server, l)
	if err := ledger.Once(t.Context(), writers, server.URL(), 5); err != nil {
		t.Fatal(err)
	}
	verify(t, server, l)
}
