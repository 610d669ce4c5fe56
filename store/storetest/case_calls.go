package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

// callCases are about concurrency, Close and Rollup.
func callCases() []contractCase {
	return []contractCase{
		{"an open store answers Ping", func(p *probe) { p.fatal(p.st.Ping(p.ctx()), "ping") }},
		{"calls after Close fail with ErrClosed", callsAfterClose},
		{"Close while reading and writing breaks nothing", closeWhileBusy},
		{"appends and reads run side by side", appendWhileReading},
		{"appends of one series side by side lose nothing", func(p *probe) {
			const writers, each = 8, 50
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if err := p.try(fmt.Sprintf(`a %d:%d`, i*writers+w, w)); err != nil {
							p.tb.Errorf("append: %v", err)
							return
						}
					}
				})
			}
			wg.Wait()
			got, err := collectOne(p, "")
			p.fatal(err, "select")
			if len(got) != writers*each {
				p.tb.Fatalf("%d samples, want %d", len(got), writers*each)
			}
			for i, s := range got {
				if s.Timestamp != int64(i) || s.Value != float64(i%writers) {
					p.tb.Fatalf("sample %d is %s", i, formatSample(&s))
				}
			}
		}},
		{"a store may decline a rollup, but says so", func(p *probe) {
			p.append(`a 0:1 10s:2`)
			_, err := p.tenant().Rollup(p.ctx(), store.Rollup{
				Selection: p.selection("a"), Func: "rate", Window: 60_000, Steps: store.Steps{Start: 10_000, End: 20_000, Step: 10_000},
			})
			if err != nil && !errors.Is(err, store.ErrDeclined) {
				p.tb.Errorf("rollup: %v", err)
			}
		}},
	}
}

// try appends a line and returns what went wrong. It may be called by any goroutine.
func (p *probe) try(text string) error {
	b, err := newBatch(Hasher(), text)
	if err != nil {
		return err
	}
	rejected, err := p.tenant().Append(p.ctx(), b)
	if err == nil && len(rejected) > 0 {
		err = fmt.Errorf("rejected %+v", rejected)
	}
	return err
}

func callsAfterClose(p *probe) {
	p.append(`a 0:1`)
	p.fatal(p.st.Close(), "close")
	ctx, t := p.ctx(), p.tenant()
	all := store.AllTime()
	b, err := newBatch(Hasher(), `a 1:1`)
	p.fatal(err, "text of the case")
	calls := map[string]func() error{
		"Append": func() error { _, err := t.Append(ctx, b); return err },
		"Select": func() error {
			r, err := t.Reader(all)
			if err != nil {
				return err
			}
			_, err = dump(r.Select(ctx, store.Selection{}))
			return errors.Join(err, r.Close())
		},
		"Aggregate": func() error {
			_, err := t.Aggregate(ctx, store.Aggregation{Range: all, Funcs: store.Funcs()})
			return err
		},
		"Rollup": func() error {
			_, err := t.Rollup(ctx, store.Rollup{Window: 1, Steps: store.Steps{Step: 1}})
			if errors.Is(err, store.ErrDeclined) { // That may be said without a look at the store.
				return store.ErrClosed
			}
			return err
		},
		"Exemplars":   func() error { _, err := t.Exemplars(ctx, all, []store.Selection{{}}); return err },
		"Metadata":    func() error { _, err := t.Metadata(ctx, store.MetadataQuery{}); return err },
		"Cardinality": func() error { _, err := t.Cardinality(ctx, store.CardinalityQuery{Range: all}); return err },
		"Delete":      func() error { return t.Delete(ctx, all, store.Selection{}) },
		"Tenants":     func() error { _, err := p.st.Tenants(ctx); return err },
		"Expire":      func() error { return p.st.Expire(ctx, 0) },
		"Flush":       func() error { return p.st.Flush(ctx) },
		"Compact":     func() error { return p.st.Compact(ctx) },
		"Seal":        func() error { return p.st.Seal(ctx) },
		"Ping":        func() error { return p.st.Ping(ctx) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, store.ErrClosed) {
			p.tb.Errorf("%s after Close: %v, want %v", name, err, store.ErrClosed)
		}
	}
	if err := p.st.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		p.tb.Errorf("second Close: %v", err)
	}
}

// closeWhileBusy closes the store under readers and writers, which must end with ErrClosed.
func closeWhileBusy(p *probe) {
	for i := range 50 {
		p.append(fmt.Sprintf(`a{i="%d"} 0:1 1d:2 2d:3`, i))
	}
	p.fatal(p.st.Flush(p.ctx()), "flush")
	var started, wg sync.WaitGroup
	run := func(call func(i int) error) {
		started.Add(1)
		wg.Go(func() {
			for i := 0; ; i++ {
				err := call(i)
				if i == 0 {
					started.Done()
				}
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					p.tb.Errorf("call beside Close: %v", err)
					return
				}
			}
		})
	}
	for w := range 2 {
		run(func(i int) error { return p.try(fmt.Sprintf(`w{w="%d"} %d:1`, w, i)) })
		run(func(int) error { return readAll(p.ctx(), p.tenant()) })
	}
	run(func(int) error {
		_, err := p.tenant().Aggregate(p.ctx(), store.Aggregation{Range: store.AllTime(), Funcs: store.Funcs()})
		return err
	})
	started.Wait()
	if err := p.st.Close(); err != nil {
		p.tb.Errorf("close: %v", err)
	}
	wg.Wait()
}

func readAll(ctx context.Context, t store.Tenant) error {
	r, err := t.Reader(store.AllTime())
	if err != nil {
		return err
	}
	_, err = dump(r.Select(ctx, store.Selection{}))
	_, valuesErr := r.LabelValues(ctx, "i", store.Selection{})
	return errors.Join(err, valuesErr, r.Close())
}

// appendWhileReading checks that a reader sees all that was acknowledged before it was opened, and no holes.
func appendWhileReading(p *probe) {
	const writers, batches = 3, 60
	var acknowledged [writers]atomic.Int64 // The number of samples.
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			b := metric.NewBatch(Hasher())
			for i := range batches {
				b.Reset()
				err := fillBatch(b, fmt.Sprintf(`a{w="%d"} %d:%d %d:%d`, w, 2*i, 2*i, 2*i+1, 2*i+1))
				if err == nil {
					_, err = p.tenant().Append(p.ctx(), b)
				}
				if err != nil {
					p.tb.Errorf("append: %v", err)
					return
				}
				acknowledged[w].Store(int64(2 * (i + 1)))
			}
		})
	}
	for r := range 2 {
		reading.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				w := (r + i) % writers
				least := acknowledged[w].Load()
				if err := countSamples(p, w, least); err != nil {
					p.tb.Error(err)
					return
				}
			}
		})
	}
	reading.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := p.st.Flush(p.ctx()); err != nil {
				p.tb.Errorf("flush: %v", err)
				return
			}
		}
	})
	writing.Wait()
	close(done)
	reading.Wait()
	for w := range writers {
		if err := countSamples(p, w, 2*batches); err != nil {
			p.tb.Error(err)
		}
	}
}

// countSamples checks that the series of a writer has at least so many samples, the value of each being its time.
func countSamples(p *probe, writer int, least int64) error {
	matchers, err := parseSelector(fmt.Sprintf(`a{w="%d"}`, writer))
	if err != nil {
		return err
	}
	r, err := p.tenant().Reader(store.AllTime())
	if err != nil {
		return err
	}
	set := r.Select(p.ctx(), store.Selection{Matchers: matchers})
	n := int64(0)
	for set.Next() {
		it := set.At().Iterator(nil)
		for ; it.Next() != chunkenc.ValNone; n++ {
			if t, v := it.At(); t != n || v != float64(n) {
				return errors.Join(fmt.Errorf("sample %d is %d:%v", n, t, v), r.Close())
			}
		}
		if err := it.Err(); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	if n < least {
		err = fmt.Errorf("writer %d: %d samples are read after %d were acknowledged", writer, n, least)
	}
	return errors.Join(err, set.Err(), r.Close())
}
