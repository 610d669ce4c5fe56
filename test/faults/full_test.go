package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/ledger"
)

// threshold is the free space below which servers take no writes here, and its setting.
const (
	threshold        = 128 << 20
	thresholdSetting = "LUMINATE_STORAGE_BADGER_MIN_FREE_BYTES=128MiB"
)

// settled is how many looks in a row, 25 ms or more apart, must find the same free space.
const settled = 40

// A full disk stops writes but neither reads nor the server, and writes go on by themselves when there is space again.
func TestFullDisk(t *testing.T) {
	needMounts(t)
	t.Parallel()
	for name, mount := range map[string]func(*testing.T, int64) *disk{"tmpfs": newTmpfs, "ext4": newExt4} {
		t.Run(name, func(t *testing.T) { fullDisk(t, mount(t, 320<<20)) })
	}
}

func fullDisk(t *testing.T, d *disk) {
	t.Helper()
	l := ledger.New("full")
	writers := ledger.Writers(8, ledger.Large, l)
	// One open partition: reads open and close the others all the time.
	settings := append(small(), thresholdSetting, "LUMINATE_STORAGE_BADGER_MAX_OPEN_PARTITIONS=1", "LUMINATE_STORAGE_BADGER_MAX_HEAD_AGE=1s")
	server := start(t, d.dir, settings...)
	if err := ledger.Once(t.Context(), writers, server.URL(), 4); err != nil {
		t.Fatal(err)
	}
	d.fill(t, "ballast", threshold+(2<<20))
	stop := ledger.Load(t.Context(), writers, server.URL())
	refusesWrites(t, server.URL())
	if err := stop(); err != nil {
		t.Error(err)
	}
	if free := d.free(t); free < threshold/2 {
		t.Errorf("only %d bytes are free: the threshold of %d was overrun", free, threshold)
	}
	verify(t, server, l)
	// Somebody else takes what the server leaves, once nothing is on its way to the disk: either all that was in memory
	// has been moved, for which the server may use half of its limit, or it has been refused that; and Badger's own
	// compactions, which nobody else sees, take and give no more space.
	seen, free, still := len(server.Output()), int64(0), 0
	c := newClient(t, server.URL())
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		d.fill(t, "ballast", threshold/2-(1<<20)) // A flush that ends gives space back.
		reply, err := c.Get(ctx, "/metrics", nil)
		if err != nil {
			return err
		}
		if !strings.Contains(string(reply.Body), "\nluminate_storage_head_samples 0\n") && !strings.Contains(server.Output()[seen:], "Background maintenance failed") {
			return errors.New("a flush may be on its way")
		}
		still++
		if now := d.free(t); now != free {
			free, still = now, 0
		}
		if still < settled {
			return errors.New("a compaction may be on its way")
		}
		return nil
	})
	d.fill(t, "foreign", 0)
	verify(t, server, l)
	refusesWrites(t, server.URL())
	d.vacate(t, "foreign")
	d.vacate(t, "ballast")
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		return ledger.Once(ctx, writers, server.URL(), 1)
	})
	verify(t, server, l)
	stopped(t, server)

	d.fill(t, "ballast", threshold/4)
	out := refused(t, d.dir, settings...)
	for _, want := range []string{"the disk is full", d.dir, "bytes are free", fmt.Sprint(threshold / 2)} {
		if !strings.Contains(out, want) {
			t.Errorf("starting on a full disk does not say %q:\n%s", want, tail(out, 4000))
		}
	}
	d.vacate(t, "ballast")
	server = start(t, d.dir, settings...)
	verify(t, server, l)
	if err := ledger.Once(t.Context(), writers, server.URL(), 1); err != nil {
		t.Error(err)
	}
}

// refusesWrites waits until a write gets 503 with Retry-After, by each protocol, while the server stays ready for reads.
func refusesWrites(t *testing.T, base string) {
	t.Helper()
	c := newClient(t, base)
	began := time.Now()
	for i, p := range client.Protocols() {
		eventually(t, 30*time.Second, func(ctx context.Context) error {
			reply, err := c.Write(ctx, p, client.One(time.Now().UnixMilli(), float64(i), "__name__", "probe"))
			if err != nil {
				return err
			}
			if reply.Status != http.StatusServiceUnavailable || reply.Header.Get("Retry-After") == "" {
				return fmt.Errorf("%v: want 503 with Retry-After: %v, %v", p, reply, reply.Header)
			}
			return nil
		})
	}
	t.Logf("writes are refused after %v", time.Since(began).Round(time.Millisecond))
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		reply, err := c.Get(t.Context(), path, nil)
		if err != nil || !reply.OK() {
			t.Errorf("%s on a full disk: %v, %v", path, reply, err)
		}
	}
}
