package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/archive"
	"github.com/luminate-metrics/luminate/tenancy"
)

// RunArchive tests that a backup of a store that from opens, restored into one that to opens, is equal to it.
func RunArchive(t *testing.T, from, to Opener) {
	t.Helper()
	restored := func(t *testing.T, st store.Store) store.Store {
		t.Helper()
		var buf bytes.Buffer
		written, err := archive.Write(t.Context(), &buf, st, archive.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := to(t)
		read, err := archive.Restore(t.Context(), out, bytes.NewReader(buf.Bytes()), archive.RestoreOptions{Hasher: Hasher()})
		if err != nil {
			t.Fatal(err)
		}
		if written.Counts != read.Archive.Counts || written.SHA256 != read.Archive.SHA256 || read.PastRetention != 0 {
			t.Errorf("written %+v, read %+v", written, read)
		}
		return out
	}
	t.Run("an empty store", func(t *testing.T) {
		st := from(t)
		Same(t, st, restored(t, st))
	})
	t.Run("everything that a store holds", func(t *testing.T) {
		st := from(t)
		fillForArchive(newProbe(t, st))
		Same(t, st, restored(t, st))
		if err := st.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := restored(t, st)
		Same(t, st, out)
		if err := out.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		Same(t, st, out)
	})
	t.Run("increments", func(t *testing.T) { runIncrements(t, from(t), to) })
	t.Run("while writes go on", func(t *testing.T) { runArchiveUnderWrites(t, from(t), to) })
}

// fillForArchive writes of everything something, some of which is replaced, deleted or late.
func fillForArchive(p *probe) {
	p.append(`a{x="1"} 0:1 10:-0 20:NaN 30:+Inf 1d:stale 9d:5`, `a{x="2"} 5:1`, `b -5d:1 # 7:1{t="1"} 3:2{t="2"} 3:3`, `{x="1"} 0:1`)
	p.append(`a{x="1"} 15:7 10:8`, `gone 0:1 1d:2`, `partly 0:1 1d:2 9d:3`, `a{x="\xff\x00"} 0:1`)
	for i := range 3 {
		p.append(fmt.Sprintf(`many{i="%d"} %d:1 3d:2 6d:%d`, i, i, i))
	}
	p.describe("a", "counter", "Old.", "")
	p.describe("a", "counter", "Help.", "seconds")
	p.fatal(p.st.Flush(p.ctx()), "flush")
	p.delete("", `gone`)
	p.delete("1d..2d", `partly`)
	p.append(`partly 1d:9`)
	p.as("acme2").append(`a{x="1"} 0:99`)
	p.as("zeta").describe("only_metadata", "gauge", "", "")
}

// runIncrements changes a store step by step and wants each chain of archives to give the store back.
func runIncrements(t *testing.T, st store.Store, to Opener) {
	t.Helper()
	p := newProbe(t, st)
	fillForArchive(p)
	steps := []func(){
		func() {}, // Nothing changes.
		func() { // New, late and replaced samples, a deleted series, a deleted range, a new kind of sample.
			p.append(`a{x="1"} 10:99 16:1 9d:stale 20d:1`, `new 0:1`, `b # 8:1{t="9"}`)
			p.delete("", `a{x="2"}`)
			p.delete("3d..6d", `many{i="1"}`)
			p.describe("a", "counter", "Newer.", "")
		},
		func() { // A tenant goes, another one comes, a deleted series comes back.
			p.as("acme2").delete("", "{}")
			p.as("last").append(`z 1d:1`)
			p.append(`a{x="2"} 6:1`)
		},
		func() { // The tenant comes back with less.
			p.as("acme2").append(`a{x="1"} 2d:5`)
			p.fatal(st.Flush(p.ctx()), "flush")
			p.fatal(st.Expire(p.ctx(), 2*day), "expire")
			p.fatal(st.Compact(p.ctx()), "compact")
		},
	}
	var full bytes.Buffer
	_, err := archive.Write(p.ctx(), &full, st, archive.WriteOptions{})
	p.fatal(err, "write")
	files := [][]byte{full.Bytes()}
	readers := func() (out []io.ReadSeeker) {
		for _, f := range files {
			out = append(out, bytes.NewReader(f))
		}
		return out
	}
	for i, step := range steps {
		step()
		var buf bytes.Buffer
		written, err := archive.WriteIncrement(p.ctx(), &buf, st, readers(), archive.WriteOptions{})
		p.fatal(err, "write an increment")
		if i == 0 && (written.Counts.Series != 0 || written.Counts.Samples != 0) {
			t.Errorf("nothing changed, but the increment has %s", written.Counts)
		}
		files = append(files, buf.Bytes())
		got := to(t)
		_, err = archive.RestoreChain(p.ctx(), got, readers(), archive.RestoreOptions{Hasher: Hasher()})
		p.fatal(err, "restore")
		Same(t, st, got)
	}
}

// Same fails the test unless both stores hold the same samples, exemplars and metadata of the same tenants.
func Same(tb testing.TB, want, got store.Store) {
	tb.Helper()
	ids := tenantsOf(tb, want)
	if diff := cmp.Diff(ids, tenantsOf(tb, got)); diff != "" {
		tb.Fatalf("tenants (-want +got)\n%s", diff)
	}
	for _, id := range ids {
		if diff := cmp.Diff(contents(tb, want, id), contents(tb, got, id)); diff != "" {
			tb.Errorf("tenant %s (-want +got)\n%s", id, diff)
		}
	}
}

func tenantsOf(tb testing.TB, st store.Store) []tenancy.ID {
	tb.Helper()
	ids, err := st.Tenants(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return slices.Clip(ids)
}

// contents is all that a tenant has, as text.
func contents(tb testing.TB, st store.Store, id tenancy.ID) []string {
	tb.Helper()
	p := &probe{tb, st, id}
	out, err := withReader(p.tenant(), store.AllTime(), func(r store.Reader) ([]string, error) {
		return dump(r.Select(p.ctx(), store.Selection{Sorted: true}))
	})
	p.fatal(err, "select")
	exemplars, err := dumpExemplars(p.ctx(), p.tenant(), store.AllTime(), []store.Selection{{}})
	p.fatal(err, "exemplars")
	metadata, err := dumpMetadata(p, store.MetadataQuery{})
	p.fatal(err, "metadata")
	return slices.Concat(out, exemplars, metadata)
}

// underWrites is a few clients that write one series each, the sample at time i with the value i.
type underWrites struct {
	acknowledged [4]atomic.Int64 // The newest time of each.
	stop         chan struct{}
	clients      sync.WaitGroup
}

func (u *underWrites) start(t *testing.T, st store.Store) {
	t.Helper()
	u.stop = make(chan struct{})
	ctx := t.Context()
	for i := range u.acknowledged {
		u.clients.Go(func() {
			name := metric.EncodeLabels(nil, labels.FromStrings(labels.MetricName, "client", "i", fmt.Sprint(i)))
			for at := int64(1); at <= 5000; at++ {
				b := metric.NewBatch(Hasher())
				b.StartSeries(name, 0)
				b.AddSample(metric.Sample{Timestamp: at, Value: float64(at)})
				if _, err := st.Tenant("acme").Append(ctx, b); err != nil {
					t.Error(err)
					return
				}
				u.acknowledged[i].Store(at)
				select {
				case <-u.stop:
					return
				default:
				}
			}
		})
	}
}

func (u *underWrites) now() (out [4]int64) {
	for i := range out {
		out[i] = u.acknowledged[i].Load()
	}
	return out
}

// noticing calls f before the first byte is written and then after each.
type noticing struct {
	io.Writer
	f func()
}

func (n noticing) Write(b []byte) (int, error) {
	n.f()
	return n.Writer.Write(b)
}

func runArchiveUnderWrites(t *testing.T, st store.Store, to Opener) {
	t.Helper()
	var u underWrites
	u.start(t, st)
	var buf bytes.Buffer
	for round := range 3 {
		buf.Reset()
		for u.now()[0] < int64(50*round) { // So that there is something.
			if err := st.Ping(t.Context()); err != nil || t.Failed() {
				t.Fatal(err)
			}
		}
		before := u.now()
		// A flush in the middle moves samples from one place to the other.
		flush := sync.OnceFunc(func() {
			if err := st.Flush(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		if _, err := archive.Write(t.Context(), noticing{&buf, flush}, st, archive.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		after := u.now()
		checkLedger(t, to(t), &buf, before, after)
	}
	close(u.stop)
	u.clients.Wait()
}

// checkLedger restores and wants all samples up to before, and none that nobody wrote.
func checkLedger(t *testing.T, into store.Store, r io.Reader, before, after [4]int64) {
	t.Helper()
	if _, err := archive.Restore(t.Context(), into, r, archive.RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	rd, err := into.Tenant("acme").Reader(store.AllTime())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rd.Close(); err != nil {
			t.Error(err)
		}
	}()
	for i := range before {
		var held int64 // The samples are 1, 2, ... without a gap.
		set := rd.Select(t.Context(), store.Selection{Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "i", fmt.Sprint(i))}})
		for set.Next() {
			run, err := collect(set.At().Iterator(nil))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range run {
				if held++; s.Timestamp != held || s.Value != float64(held) {
					t.Fatalf("client %d: %v at %d follows %d", i, s.Value, s.Timestamp, held-1)
				}
			}
		}
		if err := set.Err(); err != nil {
			t.Fatal(err)
		}
		// One more may be readable than was seen to be acknowledged.
		if held < before[i] || held > after[i]+1 {
			t.Errorf("client %d: %d samples, %d were acknowledged before the backup and %d after it", i, held, before[i], after[i])
		}
	}
}
