package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luminate-metrics/luminate/test/client"
	"github.com/luminate-metrics/luminate/test/process"
)

// attempts is how often a request is sent that the server wants to have later.
const attempts = 5

// Played says what came of a window.
type Played struct {
	Samples   int             // Acknowledged.
	Refusals  int             // Answers that were no 2xx, those of repeated requests included.
	Latencies []time.Duration // Of the acknowledged requests, sorted; repetitions count from the first attempt.
	Elapsed   time.Duration
}

// Play sends a window, each connection's requests one after another and all connections at once. An answer of 429 or 5xx
// is tried again. The result is there even if the error, which holds the first failure of each connection, is not nil.
func Play(ctx context.Context, base, tenant string, w *Window) (*Played, error) {
	p := &Played{}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		failures []error
	)
	began := time.Now()
	for _, bodies := range w.Requests {
		wg.Go(func() {
			c := client.New(base, tenant)
			defer c.Close()
			var own Played
			err := own.play(ctx, c, bodies)
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, err)
			p.Samples += own.Samples
			p.Refusals += own.Refusals
			p.Latencies = append(p.Latencies, own.Latencies...)
		})
	}
	wg.Wait()
	p.Elapsed = time.Since(began)
	slices.Sort(p.Latencies)
	return p, errors.Join(failures...)
}

func (p *Played) play(ctx context.Context, c *client.Client, bodies []Body) error {
	var first error
	for _, b := range bodies {
		if err := p.send(ctx, c, b); err != nil && first == nil {
			first = fmt.Errorf("load: %w", err)
		}
		if ctx.Err() != nil {
			return errors.Join(first, ctx.Err())
		}
	}
	return first
}

func (p *Played) send(ctx context.Context, c *client.Client, b Body) error {
	began := time.Now()
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		reply, err := c.Do(ctx, "POST", b.Path, b.Header, b.Data)
		if err != nil {
			return err
		}
		if reply.OK() {
			p.Samples += b.Samples
			p.Latencies = append(p.Latencies, time.Since(began))
			return nil
		}
		p.Refusals++
		if again := reply.Status == 429 || reply.Status >= 500; !again || try == attempts {
			return errors.New(reply.String())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// Visible waits until the last sample of each connection of a window can be queried, and returns how long that took.
func Visible(ctx context.Context, c *client.Client, w *Window) (time.Duration, error) {
	began := time.Now()
	err := process.Poll(ctx, func(ctx context.Context) error {
		reply, err := c.Query(ctx, fmt.Sprintf("%s == %d", Sentinel, w.Number), w.End)
		if err != nil {
			return err
		}
		streams, err := reply.Streams()
		if err == nil && len(streams) != len(w.Requests) {
			err = fmt.Errorf("load: window %d: the ends of %d of %d connections can be queried", w.Number, len(streams), len(w.Requests))
		}
		return err
	})
	return time.Since(began), err
}
