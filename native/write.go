package native

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/luminate-metrics/luminate/internal/ingest"
	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/tenancy"
)

const (
	// protocol is what the write path's metrics call this API.
	protocol = "native"

	// maxListed is the number of rejections that an answer lists. All of them are counted.
	maxListed = 100

	// maxPooled is the size of the largest body buffer that is kept for the next request.
	maxPooled = 4 << 20
)

// A written is the answer to a write; in a problem document its fields stand beside the standard ones.
type written struct {
	Accepted int         `json:"accepted"`
	Rejected []rejection `json:"rejected"`
}

// A rejection says why one metric was not stored.
type rejection struct {
	Index  int           `json:"index"` // Of the metric in the request, from 0.
	Reason metric.Reason `json:"reason"`
	Detail string        `json:"detail"`
}

// serveWrite serves POST /luminate/v1/metrics.
func (a *API) serveWrite(w http.ResponseWriter, r *http.Request, tenant tenancy.ID) error {
	lines, err := contentType(r, false)
	if err != nil {
		return err
	}
	buf := a.buffers.Get().(*[]byte)
	defer a.releaseBuffer(buf)
	hold := a.budget.Hold()
	defer hold.Release()
	text, err := body(w, r, size{a.limits.BodyBytes, a.limits.DecodedBytes, settingBody, settingDecoded, &hold}, buf)
	if err != nil {
		return undecoded(err)
	}
	batch := a.sink.Batch()
	defer a.sink.Release(batch)
	d := decoder{batch: batch, rules: a.rules, now: a.now(), maxItems: a.limits.Items}
	if err := d.decode(text, lines); err != nil {
		return malformed(text, err)
	}
	out, err := a.sink.Ingest(r.Context(), ingest.Request{
		Tenant: tenant, Protocol: protocol, Rules: a.rules, Batch: batch, Rejected: d.rejected,
	})
	if err != nil {
		return err
	}
	if len(out.Rejected) > 0 {
		return refused(out)
	}
	return answer(w, written{Accepted: out.Stored.Samples, Rejected: []rejection{}})
}

func (a *API) releaseBuffer(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		a.buffers.Put(buf)
	}
}

// undecoded completes an error of reading the body: every answer of status 400 says how much was stored.
func undecoded(err error) error {
	if problem.KindOf(err) != problem.Invalid {
		return err
	}
	return &detailedError{err, map[string]any{"accepted": 0, "rejected": []rejection{}}}
}

// malformed describes a body that is not JSON, or not of a form that is taken. Nothing of it was stored.
func malformed(body []byte, err error) error {
	var syntax *syntaxError
	if !errors.As(err, &syntax) {
		return err
	}
	line, column := position(body, syntax.offset)
	return &detailedError{
		error: problem.New(problem.Invalid, "nothing was stored: line %d, column %d: %s", line, column, syntax.what),
		extra: map[string]any{
			"accepted": 0, "rejected": []rejection{},
			"position": map[string]int{"offset": syntax.offset, "line": line, "column": column},
		},
	}
}

// refused describes a write of which something was refused for good; the rest is stored.
func refused(out ingest.Outcome) error {
	slices.SortStableFunc(out.Rejected, func(x, y metric.Rejection) int { return cmp.Compare(x.Series, y.Series) })
	list := make([]rejection, 0, min(len(out.Rejected), maxListed))
	total := 0
	for _, r := range out.Rejected {
		total += max(r.Lost.Total(), 1)
		if len(list) < maxListed {
			list = append(list, rejection{r.Series, r.Reason, r.Detail})
		}
	}
	first := list[0]
	stored := out.Stored.Samples
	return &detailedError{
		error: problem.New(problem.Invalid, "%s refused, %s stored; first at index %d: %s",
			plural(total), plural(stored), first.Index, first.Detail),
		extra: map[string]any{"accepted": stored, "rejected": list, "rejected_total": total},
	}
}

func plural(n int) string {
	if n == 1 {
		return "1 metric was"
	}
	return fmt.Sprintf("%d metrics were", n)
}
