package native

import (
	"time"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/tenancy"
)

// Decode runs the decoder alone.
func Decode(batch *metric.Batch, body []byte, lines bool, now time.Time) (rejected []metric.Rejection, items int, err error) {
	rules := metric.StrictRules(tenancy.Dimension)
	d := decoder{batch: batch, rules: &rules, now: now, maxItems: 1 << 20}
	err = d.decode(body, lines)
	return d.rejected, d.items, err
}

// ParseQuery runs the parser of queries alone.
func ParseQuery(body []byte, now time.Time) error {
	_, err := New(Options{Now: func() time.Time { return now }}).parseQuery(body, now)
	return err
}
