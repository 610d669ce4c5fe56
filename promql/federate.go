package promql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// federate serves the latest samples in an exposition format. Errors are plain text: the client is a scraper.
func (a *API) federate() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), a.limits.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
		var latest promengine.Vector
		req, err := a.open(w, r)
		if err == nil {
			latest, err = a.latest(ctx, req)
		}
		if err != nil {
			err = a.lookupError(err)
			a.report(r, err)
			problem.WriteText(w, err)
			return
		}
		format := expfmt.NegotiateAccept(r.Header, expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeProtoText),
			expfmt.NewFormat(expfmt.TypeProtoCompact), expfmt.NewFormat(expfmt.TypeTextPlain))
		w.Header().Set("Content-Type", string(format))
		if err := expose(expfmt.NewEncoder(w, format), latest, format.FormatType() == expfmt.TypeTextPlain); err != nil {
			a.logger.DebugContext(ctx, "federation answer was cut off", slog.Any("err", err))
		}
	})
}

// latest returns the newest sample of each selected series that is not older than the lookback, by name and labels.
func (a *API) latest(ctx context.Context, req *request) (promengine.Vector, error) {
	leave, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	sets, err := a.selectors(req.Form["match[]"])
	if err != nil {
		return nil, bad(err)
	}
	now := a.now()
	span := store.Range{Min: timestamp.FromTime(now.Add(-a.limits.Lookback)), Max: timestamp.FromTime(now)}
	reader, err := req.tenant.Reader(span)
	if err != nil {
		return nil, fmt.Errorf("promql: open reader: %w", err)
	}
	selected := make([]storage.SeriesSet, len(sets))
	for i, ms := range sets {
		selected[i] = reader.Select(ctx, store.Selection{
			Matchers: ms, Sorted: true, Hints: &storage.SelectHints{Start: span.Min, End: span.Max},
		})
	}
	out, err := newest(storage.NewMergeSeriesSet(selected, 0, storage.ChainedSeriesMerge))
	if err = errors.Join(err, reader.Close()); err != nil {
		return nil, fmt.Errorf("promql: federate: %w", err)
	}
	slices.SortStableFunc(out, func(x, y promengine.Sample) int {
		return strings.Compare(x.Metric.Get(labels.MetricName), y.Metric.Get(labels.MetricName))
	})
	return out, nil
}

// newest returns the last sample of each series in set. A series that ends with a stale marker has none.
func newest(set storage.SeriesSet) (promengine.Vector, error) {
	var (
		out promengine.Vector
		it  chunkenc.Iterator
	)
	for set.Next() {
		s := set.At()
		sample := promengine.Sample{Metric: s.Labels()}
		found := false
		it = s.Iterator(it)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			found = true
			readSample(it, kind, &sample)
		}
		if err := it.Err(); err != nil {
			return nil, err
		}
		if !found || value.IsStaleNaN(sample.F) || sample.H != nil && value.IsStaleNaN(sample.H.Sum) {
			continue
		}
		out = append(out, sample)
	}
	return out, set.Err()
}

func readSample(it chunkenc.Iterator, kind chunkenc.ValueType, into *promengine.Sample) {
	var h *histogram.FloatHistogram
	if kind == chunkenc.ValFloat {
		into.T, into.F = it.At()
	} else {
		into.T, h = it.AtFloatHistogram(nil)
		into.F = 0
	}
	into.H = h
}
