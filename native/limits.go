package native

import (
	"cmp"
	"time"
)

// The configuration keys that raise the limits, as error texts name them.
const (
	settingBody    = "native.max_body_bytes"
	settingDecoded = "native.max_decoded_bytes"
	settingItems   = "native.max_items"
	settingBuckets = "query.max_points"
	settingGroups  = "query.max_groups"
	settingValues  = "query.max_values"
	settingSamples = "query.max_samples"
	settingRange   = "query.max_range"
	settingNames   = "query.max_names"
	settingTimeout = "query.timeout"
	settingTurns   = "query.max_concurrent"
)

// Limits bound what one request may cost.
type Limits struct {
	BodyBytes    int64         // Of a request body as sent.
	DecodedBytes int64         // Of a request body after decompression.
	Items        int           // Metrics in one write.
	Buckets      int64         // Steps of a query.
	Groups       int           // Groups that a query may ask for.
	DefaultGroup int           // Groups that a query gets if it does not say.
	Values       int64         // Groups times functions times buckets of one answer.
	Samples      int64         // Samples that a query reads.
	Range        time.Duration // From the start to the end of a query; 0 means no limit.
	Names        int           // Names or values that a discovery request may ask for; also what it gets by default.
	Concurrent   int           // Queries and discovery requests that run at once; others wait.
	Timeout      time.Duration // Of a query, a discovery request or a deletion.
}

// DefaultLimits returns the limits that hold where nothing else is set.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes:    16 << 20,
		DecodedBytes: 32 << 20,
		Items:        100_000,
		Buckets:      11_000, // As Prometheus.
		Groups:       10_000,
		DefaultGroup: 1_000,
		Values:       5_000_000,
		Samples:      50_000_000, // As Prometheus.
		Names:        10_000,
		Concurrent:   20,
		Timeout:      2 * time.Minute,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		BodyBytes:    cmp.Or(l.BodyBytes, d.BodyBytes),
		DecodedBytes: cmp.Or(l.DecodedBytes, d.DecodedBytes),
		Items:        cmp.Or(l.Items, d.Items),
		Buckets:      cmp.Or(l.Buckets, d.Buckets),
		Groups:       cmp.Or(l.Groups, d.Groups),
		DefaultGroup: cmp.Or(l.DefaultGroup, d.DefaultGroup),
		Values:       cmp.Or(l.Values, d.Values),
		Samples:      cmp.Or(l.Samples, d.Samples),
		Range:        cmp.Or(l.Range, d.Range),
		Names:        cmp.Or(l.Names, d.Names),
		Concurrent:   cmp.Or(l.Concurrent, d.Concurrent),
		Timeout:      cmp.Or(l.Timeout, d.Timeout),
	}
}
