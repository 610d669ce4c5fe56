// Package store is the storage contract: what every backend does, its selections and its errors. It does no I/O.
//
// All times are milliseconds since the Unix epoch and all ranges are inclusive at both ends, unless said otherwise.
package store

import (
	"context"
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// A Store holds the data of all tenants. Its methods may be called concurrently.
type Store interface {
	// Tenant returns the view of one tenant. It never fails and does no I/O; a tenant without data is an empty view.
	// All access to samples goes through a view, so an unscoped read can't be written. Handlers use Scope, which adds
	// the reserved tenant dimension.
	Tenant(id tenancy.ID) Tenant

	Maintainer

	// Ping reports whether the store can serve writes and reads now. The error wraps ErrUnavailable, ErrClosed, or
	// ErrReadOnly if only writes are refused.
	Ping(ctx context.Context) error

	// Close waits for running calls, makes what it holds durable and releases everything. Later calls return ErrClosed.
	Close() error
}

// A Maintainer keeps a store from growing for ever.
type Maintainer interface {
	// Tenants lists the tenants that have data, in ascending order.
	Tenants(ctx context.Context) ([]tenancy.ID, error)

	// Expire removes whole time partitions that end before the given time. Samples before it that share a partition
	// with later ones may stay. What it removes is out of all reads when it returns.
	Expire(ctx context.Context, before int64) error

	// Flush moves what is held in memory to its long-term form on disk. It changes no answer.
	Flush(ctx context.Context) error

	// Compact reclaims the space of what was deleted. It changes no answer.
	Compact(ctx context.Context) error

	// Seal is Compact that also packs all that is stored as small and as quick to read as it ever gets. It changes no
	// answer, and what is appended later is not affected.
	Seal(ctx context.Context) error
}

// A Tenant is a store narrowed to one tenant.
type Tenant interface {
	Appender

	// Reader opens a view of the samples in r. It sees every Append and Delete that returned before; later ones it may
	// or may not see. The caller must Close it.
	Reader(r Range) (Reader, error)

	// Aggregate reduces samples to one value for each group and step where they lie. A backend that can't push this
	// down calls aggregate.Fold with its own Reader.
	Aggregate(ctx context.Context, q Aggregation) (AggregateResult, error)

	// Rollup evaluates a PromQL rollup over a selection for all steps at once. A backend may decline at any moment with
	// an error that wraps ErrDeclined; the caller then reads samples.
	Rollup(ctx context.Context, q Rollup) (RollupResult, error)

	// Exemplars returns the exemplars in r of the series that match any of the selections, ordered by series labels and
	// time. Exemplars are kept in bounded number: old ones give way to new ones.
	Exemplars(ctx context.Context, r Range, anyOf []Selection) ([]exemplar.QueryResult, error)

	// Metadata returns what was written about metric families, in the order of families.
	Metadata(ctx context.Context, q MetadataQuery) ([]metric.Metadata, error)

	// Cardinality reports which names and dimensions make the most series.
	Cardinality(ctx context.Context, q CardinalityQuery) (Cardinality, error)

	// Delete removes the samples, histograms and exemplars that r and sel cover. They are gone from reads when it
	// returns, also after a crash; their space may be reclaimed later. What is appended afterwards is not affected.
	Delete(ctx context.Context, r Range, sel Selection) error
}

// An Appender takes samples in.
type Appender interface {
	// Append makes batch durable. If err is nil, every item is either stored, and readable, or named in rejected. If err
	// is not nil, nothing is known, and the whole batch may be sent again: an item with the series and timestamp of a
	// stored one replaces it, whatever its kind, and the last one in the order of arrival wins.
	//
	// Samples may come in any order. Bit patterns of values are kept. Labels need not hold a metric name.
	// Append does not keep batch, which the caller may reuse when it returns.
	Append(ctx context.Context, batch *metric.Batch) (rejected []metric.Rejection, err error)
}

// A Reader gives samples and names out. Its methods honour the cancellation of ctx and are for one goroutine at a time;
// series, iterators and sets may be used by one goroutine each. Labels and strings that it returns may be kept after
// Close; chunks and iterators may not.
//
// Matchers follow Prometheus: a missing label equals the empty one, regular expressions are anchored. A series exists
// for a Reader only if it may have samples in the range; a backend may be coarse about that by up to one time
// partition in Series, LabelNames and LabelValues, never in Select.
type Reader interface {
	// Select returns the series with at least one sample in the range, stale markers included. Samples come in time
	// order, at most one for each timestamp. With Selection.Limit only so many series are returned.
	Select(ctx context.Context, sel Selection) storage.SeriesSet

	// SelectChunks is Select with the samples in chunks of the encodings XOR, histogram and float histogram, of about
	// 120 samples each. Start timestamps are left out.
	SelectChunks(ctx context.Context, sel Selection) storage.ChunkSeriesSet

	// Series returns the labels of the matching series, sorted.
	Series(ctx context.Context, sel Selection) (List[labels.Labels], error)

	// LabelNames returns the label names of the matching series, sorted.
	LabelNames(ctx context.Context, sel Selection) (List[string], error)

	// LabelValues returns the non-empty values of one label in the matching series, sorted.
	LabelValues(ctx context.Context, name string, sel Selection) (List[string], error)

	// Close releases the view. It may be called once only.
	Close() error
}

// A Loaded series tells how many samples it has in memory until the Reader is closed. A series of Select that reads its
// samples only when they are asked for need not be one.
type Loaded interface{ LoadedSamples() int }

// A Range is a span of time in milliseconds since the Unix epoch, both ends inclusive.
type Range struct{ Min, Max int64 }

// AllTime is the range of everything.
func AllTime() Range { return Range{math.MinInt64, math.MaxInt64} }

// Contains reports whether t lies in r.
func (r Range) Contains(t int64) bool { return r.Min <= t && t <= r.Max }

// Overlaps reports whether r and o have a millisecond in common.
func (r Range) Overlaps(o Range) bool { return r.Min <= o.Max && o.Min <= r.Max }

// A Selection says which series to read.
type Selection struct {
	Matchers []*labels.Matcher    // All must match. None selects everything.
	Limit    int                  // Most results to return; 0 means no limit.
	Sorted   bool                 // Whether Select must return series in label order.
	Hints    *storage.SelectHints // What the caller will do with them; may be nil, may be ignored.
}

// Matches reports whether ls satisfies all matchers of s.
func (s Selection) Matches(ls labels.Labels) bool {
	for _, m := range s.Matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// A List is the answer to a discovery request, in ascending order.
type List[T any] struct {
	Items     []T
	Truncated bool // More exist than Selection.Limit allowed.
}

// A MetadataQuery narrows what Metadata returns.
type MetadataQuery struct {
	Family string // Only this metric family; empty means all.
	Limit  int    // Most families to return; 0 means no limit.
}

// A CardinalityQuery asks where a tenant's series come from.
type CardinalityQuery struct {
	Range
	Selection
	Top int // Length of each ranking; 0 means 10.
}

// Cardinality is what a tenant's series cost. Rankings are in descending order of counts, then ascending by key.
type Cardinality struct {
	Series      int64
	LabelPairs  int64 // Distinct (dimension, value) pairs.
	ByName      []Rank
	ByDimension []Rank // Distinct values of each dimension.
	ByBytes     []Rank // Bytes of the distinct values of each dimension.
	ByPair      []Rank // Series of each "dimension=value".
	Range       Range  // Of the samples that are held; Min > Max if there are none.
	Approximate bool
}

// A Rank is one line of a ranking.
type Rank struct {
	Key   string
	Count int64
}
