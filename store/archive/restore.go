package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// RestoreOptions say how to restore. The zero value is usable.
type RestoreOptions struct {
	// Merge allows a store that holds data: a sample of the archive then replaces one with its series and timestamp. So a
	// restore that was interrupted can be done again.
	Merge bool

	Hasher metric.Hasher // That of the store, which else hashes all series again.
}

// A Restored is what a restore did.
type Restored struct {
	Archive       Summary // What was read of the archive.
	PastRetention int64   // Items that the store did not take because they are older than it keeps.
}

const (
	batchItems = 5000    // Of a batch, about.
	batchBytes = 1 << 20 // Of labels in a batch, about.
	maxRetries = 3       // Of a batch that the store has no room for.
)

// Restore puts what an archive holds into dst, which must be empty unless the options allow more. If r can be rewound, as
// a file can, the whole archive is verified before anything is stored. Else each block is verified before it is stored:
// after an error dst may hold a part, and the error says how much was read. What is stored is durable when it returns.
func Restore(ctx context.Context, dst Destination, r io.Reader, o RestoreOptions) (Restored, error) {
	if err := empty(ctx, dst, o.Merge); err != nil {
		return Restored{}, err
	}
	if sum, err := ahead(r); err != nil {
		return Restored{Archive: sum}, fmt.Errorf("nothing was restored: %w", err)
	}
	to := &restoring{ctx: ctx, dst: dst, batch: metric.NewBatch(o.Hasher)}
	sum, err := scan(r, func(s *scanner) error {
		if err := s.header.whole(); err != nil {
			return err
		}
		return to.visit(s)
	})
	if err == nil {
		err = sum.Header.whole() // It may hold nothing.
	}
	out := Restored{Archive: sum, PastRetention: to.past}
	if err != nil {
		return out, fmt.Errorf("the restore stopped after %s of %s: %w", to.done, sum.Header.Created.Format("2006-01-02T15:04:05Z07:00"), err)
	}
	return out, nil
}

// ahead verifies all of r and rewinds it, if that is possible.
func ahead(r io.Reader) (Summary, error) {
	s, ok := r.(io.Seeker)
	if !ok {
		return Summary{}, nil
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return Summary{}, nil //nolint:nilerr // Pipes are files that can't.
	}
	sum, err := Verify(r)
	if err == nil {
		err = sum.Header.whole()
	}
	if err != nil {
		return sum, err
	}
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return sum, fmt.Errorf("archive: rewind: %w", err)
	}
	return sum, nil
}

func empty(ctx context.Context, dst Destination, merge bool) error {
	if merge {
		return nil
	}
	held, err := dst.Tenants(ctx)
	if err != nil {
		return fmt.Errorf("archive: list tenants: %w", err)
	}
	if len(held) > 0 {
		return fmt.Errorf("%w: it holds data of %d tenants, %s the first: restore into a new directory, or allow merging", ErrNotEmpty, len(held), held[0])
	}
	return nil
}

// restoring gathers entries into batches.
type restoring struct {
	ctx   context.Context
	dst   Destination
	batch *metric.Batch

	items, bytes int
	open         bool // Whether the newest series of the batch is the scanner's current one.
	done         Counts
	past         int64
}

func (r *restoring) visit(s *scanner) error {
	switch s.kind {
	case metadataEntry:
		r.batch.Metadata = append(r.batch.Metadata, s.metadata)
		r.items++
	case exemplarEntry:
		r.start(s.entry.labels)
		x := s.exemplar
		x.Labels = r.keep(x.Labels)
		r.batch.AddExemplar(x)
		r.items++
	case seriesEntry:
		r.open = false
	case floatsEntry:
		r.resume(s.series)
		for _, v := range s.floats {
			r.batch.AddSample(v)
		}
		r.items += len(s.floats)
	case histogramsEntry:
		r.resume(s.series)
		for _, h := range s.histograms {
			r.batch.AddHistogram(h)
		}
		r.items += len(s.histograms)
	case endEntry:
		return r.flush(s.tenant)
	}
	if r.items >= batchItems || r.bytes >= batchBytes {
		return r.flush(s.tenant)
	}
	return nil
}

func (r *restoring) resume(labels []byte) {
	if !r.open {
		r.start(labels)
		r.open = true
	}
}

func (r *restoring) start(labels []byte) {
	r.batch.StartSeries(r.keep(labels), len(r.batch.Series))
	r.items++
}

func (r *restoring) keep(b []byte) []byte {
	out := r.batch.Alloc(len(b))
	copy(out, b)
	r.bytes += len(b)
	return out
}

func (r *restoring) flush(id tenancy.ID) error {
	if r.items == 0 {
		return r.ctx.Err()
	}
	rejected, err := r.append(id)
	if err != nil {
		return fmt.Errorf("archive: tenant %s: %w", id, err)
	}
	for i := range rejected {
		if x := &rejected[i]; x.Reason != metric.PastRetention {
			return fmt.Errorf("%w: tenant %s: %s: %s", ErrRefused, id, x.Reason, x.Detail)
		}
		r.past += int64(rejected[i].Lost.Total())
	}
	c := r.batch.Counts()
	r.done.add(Counts{Samples: int64(c.Samples), Histograms: int64(c.Histograms), Exemplars: int64(c.Exemplars), Metadata: int64(c.Metadata)})
	r.batch.Reset()
	r.items, r.bytes, r.open = 0, 0, false
	return nil
}

// append stores the batch. A store that has no room in memory is told to make some: nobody else would wait for it here.
func (r *restoring) append(id tenancy.ID) (rejected []metric.Rejection, err error) {
	for range maxRetries {
		rejected, err = r.dst.Tenant(id).Append(r.ctx, r.batch)
		if err == nil || !errors.Is(err, store.ErrUnavailable) {
			return rejected, err
		}
		if flushErr := r.dst.Flush(r.ctx); flushErr != nil {
			return nil, errors.Join(err, flushErr)
		}
	}
	return nil, err
}
