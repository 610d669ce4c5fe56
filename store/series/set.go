package series

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/store"
)

// New returns a series with the samples of a run.
func New(ls labels.Labels, run Run) storage.Series { return &series{ls, run, 0, len(run)} }

// NewIn returns a series with the samples of a run that lie in the range. Different from New with run.Between(in), the
// first histogram is compared with the sample before the range. ok is false if no sample lies in the range.
func NewIn(ls labels.Labels, run Run, in store.Range) (s storage.Series, ok bool) {
	n := len(run.Between(in))
	if n == 0 {
		return nil, false
	}
	start := before(run, in.Min)
	return &series{ls, run, start, start + n}, true
}

type series struct {
	labels     labels.Labels
	run        Run
	start, end int
}

var _ store.Loaded = (*series)(nil)

func (s *series) Labels() labels.Labels { return s.labels }

// LoadedSamples is the number of samples.
func (s *series) LoadedSamples() int { return s.end - s.start }

func (s *series) Iterator(reuse chunkenc.Iterator) chunkenc.Iterator {
	return s.run.iterate(s.start, s.end, reuse)
}

// NewSet returns the set of the given series in their order. It ends with the error of ctx when that is done.
func NewSet(ctx context.Context, list []storage.Series) storage.SeriesSet {
	return &set{ctx: ctx, rest: list}
}

type set struct {
	ctx  context.Context
	now  storage.Series
	rest []storage.Series
	err  error
}

func (s *set) Next() bool {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil || len(s.rest) == 0 {
		return false
	}
	s.now, s.rest = s.rest[0], s.rest[1:]
	return true
}

func (s *set) At() storage.Series                { return s.now }
func (s *set) Err() error                        { return s.err }
func (s *set) Warnings() annotations.Annotations { return nil }

// Chunks returns from with the samples in chunks as Reader.SelectChunks promises them: of the encodings XOR, histogram
// and float histogram, of at most 120 samples, without start timestamps.
func Chunks(from storage.SeriesSet) storage.ChunkSeriesSet {
	return storage.NewSeriesSetToChunkSet(startless{from})
}

// startless hides start timestamps, for which the encoder would take encodings that remote read can't carry.
type startless struct{ storage.SeriesSet }

func (s startless) At() storage.Series { return startlessSeries{s.SeriesSet.At()} }

type startlessSeries struct{ storage.Series }

func (s startlessSeries) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return startlessIterator{s.Series.Iterator(nil)}
}

type startlessIterator struct{ chunkenc.Iterator }

func (startlessIterator) AtST() int64 { return 0 }

// Truncate returns the first limit items as a list; a limit of 0 is none.
func Truncate[T any](sorted []T, limit int) store.List[T] {
	if limit > 0 && len(sorted) > limit {
		return store.List[T]{Items: sorted[:limit:limit], Truncated: true}
	}
	return store.List[T]{Items: sorted}
}
