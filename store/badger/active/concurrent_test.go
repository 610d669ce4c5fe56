package active_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/store/badger/active"
)

// shelf is where a flush puts samples: by tenant and labels.
type shelf struct {
	mu   sync.Mutex
	data map[string]map[int64]float64
}

func (s *shelf) put(k string, at int64, v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data[k] == nil {
		s.data[k] = map[int64]float64{}
	}
	s.data[k][at] = v
}

// churning is the labels of series i of a writer in a round: some live on, some end.
func churning(writer, i, round int) labels.Labels {
	born := 0
	if i%2 == 0 {
		born = (round + i) / 5
	}
	return labels.FromStrings("__name__", fmt.Sprintf("m%d", i%7), "born", fmt.Sprint(born), "i", fmt.Sprint(i),
		"writer", fmt.Sprint(writer%2)) // Two writers write the same series.
}

func valueAt(ls labels.Labels, at int64) float64 { return float64(ls.Hash()%1000) + float64(at) }

const (
	concurrentWriters = 3
	concurrentRounds  = 40
	concurrentSeries  = 150
)

// writeRounds waits for a token at some rounds, so that evictions come between.
func writeRounds(t *testing.T, h *active.Head, id int, passes <-chan struct{}) {
	t.Helper()
	w := h.NewWriter()
	defer w.Close()
	for round := range concurrentRounds {
		if round%8 == 7 {
			<-passes
		}
		b := newBatch()
		for i := range concurrentSeries {
			ls := churning(id, i, round)
			b.series(ls)
			at := int64(round * 1000)
			b.AddSample(metric.Sample{Timestamp: at, Value: valueAt(ls, at)})
		}
		refs := make([]uint32, len(b.Series))
		w.Begin()
		w.Resolve(b.Batch, uint32(id%2), refs)
		w.RegisterAll(b.Batch, uint32(id%2), refs, func(uint32, int) {}, func(i int, err error) { t.Error(i, err) })
		w.Append(b.Batch, refs, uint32(round+1))
		w.End()
	}
}

// flushAll takes everything that there is to flush to the shelf.
func flushAll(t *testing.T, h *active.Head, to *shelf) {
	t.Helper()
	var f active.Frozen
	for _, g := range h.Pending(nil) {
		if !h.Freeze(g) {
			continue
		}
		if err := h.Frozen(g, &f); err != nil {
			t.Error(err)
			return
		}
		r := h.NewReader()
		for i := range f.Members {
			ls := r.Labels(g*active.GroupSize + uint32(i))
			for k, at := range f.Members[i].Timestamps {
				to.put(key(f.Tenant, ls), at, f.Members[i].Values[k])
			}
		}
		r.Close()
		h.Release(g)
	}
}

func readSome(t *testing.T, h *active.Head, rng *rand.Rand) {
	t.Helper()
	r := h.NewReader()
	defer r.Close()
	tenant := uint32(rng.IntN(2))
	ms := [][]*labels.Matcher{
		{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m3")},
		{labels.MustNewMatcher(labels.MatchRegexp, "i", "1.*")},
		{labels.MustNewMatcher(labels.MatchNotEqual, "born", "3"), labels.MustNewMatcher(labels.MatchEqual, "__name__", "m2")},
	}[rng.IntN(3)]
	refs, err := r.Select(t.Context(), tenant, ms, nil)
	if err != nil {
		t.Error(err)
	}
	for _, ref := range refs {
		ls := r.Labels(ref)
		s, err := r.Samples(ref, store.AllTime())
		if err != nil {
			t.Error(err)
			return
		}
		if s.Len() == 0 && (ls.IsEmpty() || !r.Alive(ref)) {
			continue // It is being registered or was evicted.
		}
		if !(store.Selection{Matchers: ms}).Matches(ls) || ls.Get("writer") != fmt.Sprint(tenant) {
			t.Errorf("%v found by %v for tenant %d", ls, ms, tenant)
		}
		for i, at := range s.Timestamps {
			if s.Values[i] != valueAt(ls, at) {
				t.Errorf("%v at %d: %v", ls, at, s.Values[i])
			}
		}
	}
	r.Values(tenant, "born")
	r.Names(tenant)
	r.Cardinality(tenant, 2)
}

func TestConcurrency(t *testing.T) {
	h := newHead(t, active.Options{ChunkSamples: 10})
	flushed := &shelf{data: map[string]map[int64]float64{}}
	var done atomic.Bool
	var writers, others sync.WaitGroup
	passes := make(chan struct{})
	for id := range concurrentWriters {
		writers.Go(func() { writeRounds(t, h, id, passes) })
	}
	for i := range 2 {
		others.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 9))
			for !done.Load() {
				readSome(t, h, rng)
			}
		})
	}
	evicted := 0
	others.Go(func() {
		for !done.Load() {
			flushAll(t, h, flushed)
			out, err := h.Evict(math.MaxUint32)
			if err != nil {
				t.Error(err)
			}
			evicted += out.Series
			h.Recycle(out.Generation)
			h.Memory()
			h.OldestMark()
			h.Bounds()
			select {
			case passes <- struct{}{}:
			default:
			}
		}
	})
	writers.Wait()
	done.Store(true)
	others.Wait()
	flushAll(t, h, flushed)
	if h.Pending(nil) != nil {
		t.Error("something is left to flush")
	}
	if evicted == 0 {
		t.Error("no series was evicted")
	}
	n := 0
	for id := range concurrentWriters {
		for round := range concurrentRounds {
			for i := range concurrentSeries {
				ls, at := churning(id, i, round), int64(round*1000)
				if v, ok := flushed.data[key(uint32(id%2), ls)][at]; !ok || v != valueAt(ls, at) {
					t.Fatalf("%v at %d: %v, %v", ls, at, v, ok)
				}
				n++
			}
		}
	}
	all := 0
	for _, s := range flushed.data {
		all += len(s)
	}
	if want := 2 * concurrentRounds * concurrentSeries; all != want {
		t.Errorf("%d samples, want %d of the %d that were sent", all, want, n)
	}
}
