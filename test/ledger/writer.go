package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/test/client"
)

// metric is the name of all series that writers send.
const metric = "ledger_value"

// step is the time between two samples of a sequence in milliseconds.
const step = 10

// A Shape says how large the requests of a writer are.
type Shape struct {
	Series  int // In a request.
	Samples int // Of each series in a request; 5 at most.
}

// Small is the shape of many small requests, Large that of a high rate.
var (
	Small = Shape{Series: 4, Samples: 3}
	Large = Shape{Series: 200, Samples: 5}
)

// A Writer sends batches one after another. Each has samples of some series, one of them new now and then; now and then
// it is older than the one before. A batch without an answer is sent again, as Prometheus does.
type Writer struct {
	ledger   *Ledger
	number   int
	protocol client.Protocol
	shape    Shape
	sequence int64
	unsure   []client.Series // The last batch, if nobody knows whether it was stored.
}

// Writers returns n writers that use the protocols and the ledgers in turns.
func Writers(n int, shape Shape, ledgers ...*Ledger) []*Writer {
	var out []*Writer
	protocols := client.Protocols()
	for i := range n {
		out = append(out, &Writer{
			ledger: ledgers[(i+i/len(protocols))%len(ledgers)], number: i, protocol: protocols[i%len(protocols)], shape: shape,
		})
	}
	return out
}

// batch returns the next one. Some writers write a day later; every fifth batch is older than the 20 before it.
func (w *Writer) batch() []client.Series {
	var out []client.Series
	width := int64(w.shape.Series)
	for i := range w.shape.Series {
		w.sequence++
		number := int64(i)
		if i == w.shape.Series-1 {
			number += w.sequence / (25 * width) // A new series every 25 batches.
		}
		ts := w.ledger.base + int64(w.number%3)*Day.Milliseconds() + step*w.sequence
		if w.sequence/width%5 == 4 {
			ts -= 25*width*step + step/2
		}
		s := client.Series{Labels: labels.FromStrings(
			labels.MetricName, metric, "protocol", w.protocol.String(),
			"series", strconv.FormatInt(number, 10), "writer", strconv.Itoa(w.number),
		)}
		for j := range int64(w.shape.Samples) {
			s.Samples = append(s.Samples, client.Sample{T: ts + j, V: float64(int64(w.number)*1e12 + w.sequence*10 + j)})
		}
		out = append(out, s)
	}
	return out
}

// run sends batches until ctx ends or the server is gone.
func (w *Writer) run(ctx context.Context, base string) error {
	c := client.New(base, w.ledger.tenant)
	defer c.Close()
	for ctx.Err() == nil {
		ok, err := w.write(ctx, c)
		if err != nil || !ok {
			return err
		}
	}
	return nil
}

// write sends one batch. It is not ok if the server is gone or ctx has ended.
func (w *Writer) write(ctx context.Context, c *client.Client) (ok bool, err error) {
	batch := w.unsure
	if batch == nil {
		batch = w.batch()
		w.ledger.note(batch, false)
	}
	w.unsure = batch
	reply, err := c.Write(ctx, w.protocol, batch...)
	switch {
	case err != nil:
		return false, nil //nolint:nilerr // Servers are killed here.
	case reply.OK():
		w.ledger.note(batch, true)
		w.unsure = nil
	case reply.Status != http.StatusServiceUnavailable:
		return false, fmt.Errorf("writer %d, %v: %v", w.number, w.protocol, reply)
	}
	return true, nil
}

// Load runs the writers against a server until stop is called, which waits for them. Its error is what a writer was
// answered that is neither a success nor "try again".
func Load(ctx context.Context, writers []*Writer, base string) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	errs := make([]error, len(writers))
	for i, w := range writers {
		wg.Go(func() { errs[i] = w.run(ctx, base) })
	}
	return func() error {
		cancel()
		wg.Wait()
		return errors.Join(errs...)
	}
}

// Once makes each writer send batches of its own until that many were acknowledged in a row.
func Once(ctx context.Context, writers []*Writer, base string, batches int) error {
	for _, w := range writers {
		c := client.New(base, w.ledger.tenant)
		for range batches {
			ok, err := w.write(ctx, c)
			if err == nil && (!ok || w.unsure != nil) {
				err = fmt.Errorf("writer %d, %v: a batch was not acknowledged", w.number, w.protocol)
			}
			if err != nil {
				c.Close()
				return err
			}
		}
		c.Close()
	}
	return nil
}
