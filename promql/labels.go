package promql

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// A lookup is what the label and series endpoints ask for: the union of several selections.
type lookup struct {
	sets  [][]*labels.Matcher // None means everything.
	span  store.Range
	limit int // 0 means none.
}

// lookup parses the parameters that the label endpoints share.
func (a *API) lookup(req *request) (lookup, error) {
	limit, err := req.limit()
	if err != nil {
		return lookup{}, err
	}
	span, err := req.lookupRange()
	if err != nil {
		return lookup{}, err
	}
	sets, err := a.matchers(req.Form["match[]"])
	if err != nil {
		return lookup{}, bad(err)
	}
	return lookup{sets: sets, span: span, limit: limit}, nil
}

// union reads each selection of l and merges the sorted answers.
func union[T any](req *request, l lookup, less func(a, b T) int, read func(r store.Reader, sel store.Selection) (store.List[T], error)) (store.List[T], error) {
	if l.span.Max < l.span.Min {
		return store.List[T]{}, nil
	}
	r, err := req.tenant.Reader(l.span)
	if err != nil {
		return store.List[T]{}, fmt.Errorf("promql: open reader: %w", err)
	}
	out, err := readAll(r, l, read)
	// What was read is complete whether or not the view closes well.
	if err = errors.Join(err, r.Close()); err != nil {
		return store.List[T]{}, fmt.Errorf("promql: lookup: %w", err)
	}
	if len(l.sets) > 1 {
		slices.SortFunc(out.Items, less)
		out.Items = slices.CompactFunc(out.Items, func(a, b T) bool { return less(a, b) == 0 })
	}
	if l.limit > 0 && len(out.Items) > l.limit {
		out.Items, out.Truncated = out.Items[:l.limit], true
	}
	return out, nil
}

func readAll[T any](r store.Reader, l lookup, read func(r store.Reader, sel store.Selection) (store.List[T], error)) (store.List[T], error) {
	sets := l.sets
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	var out store.List[T]
	for _, ms := range sets {
		part, err := read(r, store.Selection{Matchers: ms, Limit: l.limit, Sorted: true})
		if err != nil {
			return store.List[T]{}, err
		}
		out.Items = append(out.Items, part.Items...)
		out.Truncated = out.Truncated || part.Truncated
	}
	return out, nil
}

// truncationWarning is the warning of a list that a limit has cut.
func truncationWarning(truncated bool) annotations.Annotations {
	var as annotations.Annotations
	if truncated {
		as.Add(errTruncated)
	}
	return as
}

func stringList(l store.List[string]) *answer {
	return &answer{data: func(e *encoder) { e.strings(l.Items) }, warnings: truncationWarning(l.Truncated)}
}

// labelNames lists the label names of the selected series.
func (a *API) labelNames(req *request) (*answer, error) {
	l, err := a.lookup(req)
	if err != nil {
		return nil, err
	}
	names, err := union(req, l, cmp.Compare[string], func(r store.Reader, sel store.Selection) (store.List[string], error) {
		return r.LabelNames(req.Context(), sel)
	})
	if err != nil {
		return nil, err
	}
	return stringList(names), nil
}

// labelValues lists the values of one label in the selected series.
func (a *API) labelValues(req *request) (*answer, error) {
	name := httprouter.ParamsFromContext(req.Context()).ByName("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, problem.New(problem.Invalid, "invalid label name: %q", name)
	}
	l, err := a.lookup(req)
	if err != nil {
		return nil, err
	}
	values, err := union(req, l, cmp.Compare[string], func(r store.Reader, sel store.Selection) (store.List[string], error) {
		return r.LabelValues(req.Context(), name, sel)
	})
	if err != nil {
		return nil, err
	}
	return stringList(values), nil
}

// series lists the label sets of the selected series.
func (a *API) series(req *request) (*answer, error) {
	match := req.Form["match[]"]
	if len(match) == 0 {
		return nil, problem.New(problem.Invalid, "no match[] parameter provided")
	}
	limit, err := req.limit()
	if err != nil {
		return nil, err
	}
	span, err := req.lookupRange()
	if err != nil {
		return nil, err
	}
	sets, err := a.matchers(match)
	if err != nil {
		return nil, invalidParameter("match[]", err)
	}
	l := lookup{sets: sets, span: span, limit: limit}
	list, err := union(req, l, labels.Compare, func(r store.Reader, sel store.Selection) (store.List[labels.Labels], error) {
		return r.Series(req.Context(), sel)
	})
	if err != nil {
		return nil, err
	}
	return &answer{data: func(e *encoder) { e.labelSets(list.Items) }, warnings: truncationWarning(list.Truncated)}, nil
}
