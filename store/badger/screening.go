package badger

import (
	"fmt"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/store"
)

const (
	mostLabelBytes = 512 << 10 // Of a series, an exemplar or the description of a metric family.
	mostBuckets    = 64 << 10  // Of a histogram, spans and custom bounds counted too.
)

// screening takes out of a batch what the store can't keep. The batch itself stays as it is.
type screening struct {
	batch    *metric.Batch
	kept     *metric.Batch // batch itself as long as nothing is refused.
	floor    int64         // The oldest time that is kept.
	calendar *calendar
	last     store.Range // Of the partition that was admitted last.
	rejected []metric.Rejection
}

func (c *screening) run() {
	for i := range c.batch.Series {
		item := &c.batch.Series[i]
		if len(item.Labels) > mostLabelBytes {
			c.reject(i, item.Counts(), metric.InvalidValue,
				fmt.Sprintf("the labels of the series have %d bytes: the store keeps at most %d", len(item.Labels), mostLabelBytes))
			c.edit()
			s := &c.kept.Series[i]
			s.Samples, s.Histograms, s.Exemplars = metric.Span{}, metric.Span{}, metric.Span{}
			continue
		}
		part := screened{c, i}
		screen(part, samplesOf, c.sample)
		screen(part, histogramsOf, c.histogram)
		screen(part, exemplarsOf, c.exemplar)
	}
	c.empty()
	c.metadata()
}

// empty takes out series that have nothing to store, or nothing any more.
func (c *screening) empty() {
	empty := func(s metric.Series) bool { return s.Counts().Total() == 0 }
	if slices.ContainsFunc(c.kept.Series, empty) {
		c.edit()
		c.kept.Series = slices.DeleteFunc(c.kept.Series, empty)
	}
}

// metadata takes out what is said at too great length. Metadata have no series: their rejections name the first.
func (c *screening) metadata() {
	long := func(m metric.Metadata) bool {
		return len(m.Family)+len(m.Type)+len(m.Help)+len(m.Unit) > mostLabelBytes
	}
	if !slices.ContainsFunc(c.batch.Metadata, long) {
		return
	}
	c.edit()
	c.kept.Metadata = slices.DeleteFunc(slices.Clone(c.batch.Metadata), long)
	c.rejected = append(c.rejected, metric.Rejection{
		Lost: metric.Counts{Metadata: len(c.batch.Metadata) - len(c.kept.Metadata)}, Reason: metric.InvalidValue,
		Detail: fmt.Sprintf("the description of a metric family has more than %d bytes, the most that the store keeps", mostLabelBytes),
	})
}

// edit makes kept a copy that may be changed.
func (c *screening) edit() {
	if c.kept == c.batch {
		c.kept = &metric.Batch{
			Series: slices.Clone(c.batch.Series), Samples: slices.Clone(c.batch.Samples),
			Histograms: slices.Clone(c.batch.Histograms), Exemplars: slices.Clone(c.batch.Exemplars), Metadata: c.batch.Metadata,
		}
	}
}

// reject notes what was lost of a series. Items that are lost for one reason share a rejection.
func (c *screening) reject(i int, lost metric.Counts, reason metric.Reason, detail string) {
	origin := c.batch.Series[i].Origin
	for k := len(c.rejected) - 1; k >= 0 && c.rejected[k].Series == origin; k-- {
		if c.rejected[k].Reason == reason {
			c.rejected[k].Lost.Add(lost)
			return
		}
	}
	c.rejected = append(c.rejected, metric.Rejection{Series: origin, Lost: lost, Reason: reason, Detail: detail})
}

// screened is one series that is looked at.
type screened struct {
	*screening
	at int
}

// An access finds the items of one kind in a batch and the span of a series in them.
type access[T any] func(*metric.Batch, int) (items *[]T, span *metric.Span, one metric.Counts)

func samplesOf(b *metric.Batch, i int) (*[]metric.Sample, *metric.Span, metric.Counts) {
	return &b.Samples, &b.Series[i].Samples, metric.Counts{Samples: 1}
}

func histogramsOf(b *metric.Batch, i int) (*[]metric.Histogram, *metric.Span, metric.Counts) {
	return &b.Histograms, &b.Series[i].Histograms, metric.Counts{Histograms: 1}
}

func exemplarsOf(b *metric.Batch, i int) (*[]metric.Exemplar, *metric.Span, metric.Counts) {
	return &b.Exemplars, &b.Series[i].Exemplars, metric.Counts{Exemplars: 1}
}

// screen takes out the items of one kind for which why has a reason.
func screen[T any](c screened, of access[T], why func(*T) (metric.Reason, func() string)) {
	items, span, one := of(c.batch, c.at)
	list := (*items)[span.Start:span.End]
	good := 0
	for good < len(list) {
		if reason, _ := why(&list[good]); reason != "" {
			break
		}
		good++
	}
	if good == len(list) {
		return
	}
	c.edit()
	kept, span, _ := of(c.kept, c.at)
	span.End = span.Start
	for i := range list {
		if reason, detail := why(&list[i]); reason != "" {
			c.reject(c.at, one, reason, detail())
			continue
		}
		(*kept)[span.End] = list[i]
		span.End++
	}
}

func (c *screening) time(t int64) (metric.Reason, func() string) {
	if t >= c.floor {
		return "", nil
	}
	return metric.PastRetention, func() string {
		return fmt.Sprintf("timestamp %d is before %d, the oldest that is kept", t, c.floor)
	}
}

// partition is time for what goes into a partition.
func (c *screening) partition(t int64) (metric.Reason, func() string) {
	if reason, detail := c.time(t); reason != "" {
		return reason, detail
	}
	if t < c.last.Min || t > c.last.Max {
		index := indexOf(t, c.calendar.width)
		if !c.calendar.admit(index) {
			return c.calendar.tooManyPartitions(t)
		}
		c.last = rangeOf(index, c.calendar.width)
	}
	return "", nil
}

func (c *screening) sample(v *metric.Sample) (metric.Reason, func() string) {
	return c.partition(v.Timestamp)
}

func (c *screening) histogram(h *metric.Histogram) (metric.Reason, func() string) {
	size := 0
	switch {
	case h.Int != nil:
		size = len(h.Int.PositiveSpans) + len(h.Int.NegativeSpans) + len(h.Int.PositiveBuckets) + len(h.Int.NegativeBuckets) + len(h.Int.CustomValues)
	case h.Float != nil:
		size = len(h.Float.PositiveSpans) + len(h.Float.NegativeSpans) + len(h.Float.PositiveBuckets) + len(h.Float.NegativeBuckets) + len(h.Float.CustomValues)
	default:
		return metric.InvalidHistogram, func() string { return fmt.Sprintf("histogram at %d has no content", h.Timestamp) }
	}
	if size > mostBuckets {
		return metric.InvalidHistogram, func() string {
			return fmt.Sprintf("histogram at %d has %d buckets: the store keeps at most %d", h.Timestamp, size, mostBuckets)
		}
	}
	return c.partition(h.Timestamp)
}

func (c *screening) exemplar(x *metric.Exemplar) (metric.Reason, func() string) {
	if len(x.Labels) > mostLabelBytes {
		return metric.InvalidExemplar, func() string {
			return fmt.Sprintf("the labels of the exemplar have %d bytes: the store keeps at most %d", len(x.Labels), mostLabelBytes)
		}
	}
	it := metric.Labels(x.Labels)
	for it.Next() {
		continue
	}
	if it.Err() != nil {
		return metric.InvalidExemplar, it.Err().Error
	}
	return c.time(x.Timestamp)
}
