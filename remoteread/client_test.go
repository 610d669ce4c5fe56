package remoteread_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// client is the remote-read client of Prometheus.
func (r *rig) client(types []prompb.ReadRequest_ResponseType) remote.ReadClient {
	r.t.Helper()
	u, err := url.Parse(r.base + "/api/v1/read")
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := remote.NewReadClient(r.t.Name(), &remote.ClientConfig{
		URL: &promconfig.URL{URL: u}, Timeout: model.Duration(30 * time.Second), ChunkedReadLimit: 50 << 20, AcceptedResponseTypes: types,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// lines reads a set of Prometheus.
func lines(t *testing.T, set storage.SeriesSet) (out []string) {
	t.Helper()
	for set.Next() {
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			line := fmt.Sprintf("%s %d ", set.At().Labels(), it.AtT())
			switch typ {
			case chunkenc.ValFloat:
				_, v := it.At()
				line += valueText(v)
			case chunkenc.ValHistogram:
				_, h := it.AtHistogram(nil)
				line += "int " + histogramText(h)
			case chunkenc.ValFloatHistogram:
				_, h := it.AtFloatHistogram(nil)
				line += "float " + h.String()
			}
			out = append(out, line)
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestR4PrometheusClient reads the same by both response types, bit by bit.
func TestR4PrometheusClient(t *testing.T) {
	for _, types := range [][]prompb.ReadRequest_ResponseType{nil, inChunks, inSamples} {
		r := newRig(t)
		r.fill()
		set, err := r.client(types).Read(t.Context(), query(0, 9999, all()), true)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			`{__name__="latency"} 1000 int ` + histogramText(integerHistogram()),
			`{__name__="latency"} 2000 int {count:0, sum:NaN} 0x7ff0000000000002`,
			`{__name__="latency"} 3000 float ` + customHistogram().String(),
			`{__name__="latency"} 4000 4`,
		}
		for i, v := range special() {
			want = append(want, fmt.Sprintf(`{__name__="special"} %d %s`, (i+1)*1000, valueText(v)))
		}
		want = append(want, `{__name__="up", job="a"} 1000 4`, `{__name__="up", job="a"} 2000 5`,
			`{__name__="up", job="b"} 1000 1`, `{__name__="up", job="b"} 2000 2`, `{__name__="up", job="b"} 3000 3`)
		if diff := cmp.Diff(want, lines(t, set)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", types, diff)
		}
	}
}

func TestR3PrometheusClientReadsErrors(t *testing.T) {
	r := newRig(t)
	_, err := r.client(nil).Read(t.Context(), query(0, 1, eq("_tenant_id", "other")), true)
	if err == nil {
		t.Fatal("no error")
	}
	if want := `its tenant is "team"`; !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want one with %q", err, want)
	}
}

// TestR7PrometheusExternalLabels shows what a Prometheus with external labels sees: it asks for series that carry them,
// as those that it has written itself do, unless it is told not to.
func TestR7PrometheusExternalLabels(t *testing.T) {
	r := newRig(t)
	r.put([]string{"__name__", "up", "cluster", "eu", "from", "remote write"}, 1)
	r.put([]string{"__name__", "up", "from", "elsewhere"}, 2)
	ask := func(filter bool) []string {
		external := labels.EmptyLabels()
		if filter { // As Prometheus does for filter_external_labels: true, the default.
			external = labels.FromStrings("cluster", "eu")
		}
		q, err := remote.NewSampleAndChunkQueryableClient(r.client(nil), external, nil, true, nil).Querier(0, 9999)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		return lines(t, q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "up")))
	}
	if diff := cmp.Diff([]string{`{__name__="up", from="remote write"} 1000 1`}, ask(true)); diff != "" {
		t.Errorf("filter_external_labels: true (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`{__name__="up", cluster="eu", from="remote write"} 1000 1`, `{__name__="up", from="elsewhere"} 1000 2`}, ask(false)); diff != "" {
		t.Errorf("filter_external_labels: false (-want +got):\n%s", diff)
	}
}
