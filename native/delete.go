package native

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/luminate-metrics/luminate/store"
	"github.com/luminate-metrics/luminate/tenancy"
)

// deleteFields lists the fields of a deletion. All of them are required, so that nobody deletes by leaving one out.
var deleteFields = []string{"metric", "from", "to", "filters"}

// A deletion is a valid request to POST /luminate/v1/delete.
type deletion struct {
	metric string
	span   store.Range
	sel    store.Selection
}

// serveDelete serves POST /luminate/v1/delete. It takes no content type that a web page of another origin may send
// without asking the server first.
func (a *API) serveDelete(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	if _, err := contentType(r, true); err != nil {
		return err
	}
	buf := a.buffers.Get().(*[]byte)
	defer a.releaseBuffer(buf)
	text, err := body(w, r, requestSize(), buf)
	if err != nil {
		return err
	}
	d, err := a.parseDeletion(text, a.now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.limits.Timeout)
	defer cancel()
	if err := a.source.Tenant(tenant).Delete(ctx, d.span, d.sel); err != nil {
		return a.stopped(ctx, err)
	}
	return answer(w, struct {
		Metric  string `json:"metric"`
		From    int64  `json:"from"`
		To      int64  `json:"to"`
		Deleted bool   `json:"deleted"`
	}{d.metric, d.span.Min, d.span.Max, true})
}

func (a *API) parseDeletion(body []byte, now time.Time) (deletion, error) {
	var wrong complaints
	o, err := parseObject(body, &wrong, deleteFields...)
	if err != nil {
		return deletion{}, err
	}
	var d deletion
	var name *labels.Matcher
	d.metric, name = o.metric("metric")
	d.span = a.timeRange(&o, now, true)
	if !o.has("filters") {
		o.complain("filters", "is missing: use [] to delete all series of the metric")
	}
	d.sel.Matchers = append([]*labels.Matcher{name}, o.filters("filters")...)
	return d, wrong.err()
}
