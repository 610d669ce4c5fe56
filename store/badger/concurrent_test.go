package badger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luminate-metrics/luminate/store/badger"
)

// TestNothingVanishesMeanwhile appends, flushes, compacts, expires other days and reads at once: what was acknowledged is
// in every later read.
func TestNothingVanishesMeanwhile(t *testing.T) {
	const writers, rounds = 3, 40
	s := openAt(t, t.TempDir(), func(o *badger.Options) { o.MaxOpenPartitions, o.MaxHeadSamples = 1, 60 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acknowledged [writers]atomic.Int64
	var writing, others sync.WaitGroup
	failed := make(chan error, 16)
	loop := func(f func() error) {
		others.Go(func() {
			for ctx.Err() == nil {
				if err := f(); err != nil && !errors.Is(err, context.Canceled) {
					failed <- err
					return
				}
			}
		})
	}
	loop(func() error { return s.Flush(ctx) })
	loop(func() error { return s.Compact(ctx) })
	loop(func() error { return s.Expire(ctx, 10*day) })
	for range 2 {
		loop(func() error {
			var least [writers]int64
			for w := range least {
				least[w] = acknowledged[w].Load()
			}
			got, err := tryDump(ctx, s, "a", everything)
			if err != nil {
				return err
			}
			for w, n := range least {
				if have := int64(strings.Count(got, fmt.Sprintf(`i="%d"}`, w))); have < n {
					return fmt.Errorf("writer %d: %d samples can be read, %d were acknowledged", w, have, n)
				}
			}
			return nil
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range int64(rounds) {
				at := (10+i%3)*day + i
				_, err := s.Tenant("a").Append(context.WithoutCancel(ctx), batchOf(sample{series: fmt.Sprintf("up,i=%d", w), t: at, v: float64(i)}, sample{series: "old", t: i, v: 1}))
				if err != nil {
					failed <- err
					return
				}
				acknowledged[w].Add(1)
			}
		})
	}
	writing.Wait()
	cancel()
	others.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	got := dump(t, s, "a", everything)
	for w := range writers {
		if n := strings.Count(got, fmt.Sprintf(`i="%d"}`, w)); n != rounds {
			t.Errorf("writer %d: %d samples at the end", w, n)
		}
	}
}
