package promql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/value"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/promql"
	"github.com/luminate-metrics/luminate/store/memory"
)

// one returns an API over a store with the given samples of one series.
func one(t *testing.T, samples ...metric.Sample) *testAPI {
	t.Helper()
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	b := metric.NewBatch(metric.NewHasher(7))
	b.StartSeries(metric.EncodeLabels(nil, ls("__name__", "x")), 0)
	for _, s := range samples {
		b.AddSample(s)
	}
	if _, err := st.Tenant(tenant).Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return newAPI(t, promql.Options{Source: source{st}})
}

func TestQ11Numbers(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"},
		{math.Copysign(0, -1), "-0"},
		{1.5, "1.5"},
		{1e-6, "0.000001"},
		{1e-7, "1e-07"},
		{-9.9e-7, "-9.9e-07"},
		{1e20, "100000000000000000000"},
		{1e21, "1e+21"},
		{1 << 53, "9007199254740992"},
		{0.1, "0.1"},
		{math.NaN(), "NaN"},
		{math.Inf(1), "+Inf"},
		{math.Inf(-1), "-Inf"},
		{math.MaxFloat64, "1.7976931348623157e+308"},
		{5e-324, "5e-324"},
	} {
		one(t, metric.Sample{Timestamp: 1000, Value: c.v}).get("/api/v1/query", "query", "x", "time", "1").
			data(`{"resultType":"vector","result":[{"metric":{"__name__":"x"},"value":[1,"` + c.want + `"]}]}`)
	}
	for _, c := range []struct {
		ms   int64
		want string
	}{{0, "0"}, {1, "0.001"}, {50, "0.050"}, {500, "0.500"}, {1435781451781, "1435781451.781"}, {-1, "-0.001"}, {-1500, "-1.500"}} {
		one(t, metric.Sample{Timestamp: c.ms, Value: 1}).get("/api/v1/query", "query", "x[1m]", "time", fmt.Sprint(c.ms/1000+1)).
			data(`{"resultType":"matrix","result":[{"metric":{"__name__":"x"},"values":[[` + c.want + `,"1"]]}]}`)
	}
}

func TestQ12Encoding(t *testing.T) {
	api := newAPI(t, promql.Options{})
	at := "1700000030" // The third sample.
	api.get("/api/v1/query", "query", "latency", "time", at).data(
		`{"resultType":"vector","result":[{"metric":{"__name__":"latency","job":"api"},"histogram":[1700000030,{"count":"14","sum":"5","buckets":[` +
			`[1,"-1","-0.7071067811865475","2"],[3,"-0.001","0.001","2"],[0,"0.7071067811865475","1","2"],[0,"1","1.414213562373095","4"],[0,"2","2.82842712474619","4"]]}]}]}`)
	// Without any filled bucket there is no list.
	api.get("/api/v1/query", "query", "latency", "time", "1700000000").data(
		`{"resultType":"vector","result":[{"metric":{"__name__":"latency","job":"api"},"histogram":[1700000000,{"count":"0","sum":"0"}]}]}`)
	api.get("/api/v1/query_range", "query", `{__name__=~"up|latency_custom",instance!="b:1"}`, "start", at, "end", at, "step", "1").data(
		`{"resultType":"matrix","result":[` +
			`{"metric":{"__name__":"latency_custom","job":"api"},"histograms":[[1700000030,{"count":"6","sum":"2","buckets":[[3,"-Inf","0.5","2"],[0,"1","2.5","4"]]}]]},` +
			`{"metric":{"__name__":"up","instance":"a:1","job":"api"},"values":[[1700000030,"1"]]}]}`)
	api.get("/api/v1/query", "query", `"<a>"`, "time", "4.5").data(`{"resultType":"string","result":[4.5,"\u003ca\u003e"]}`)
	api.get("/api/v1/query", "query", "1e30", "time", "4").data(`{"resultType":"scalar","result":[4,"1000000000000000000000000000000"]}`)

	// Label sets hold HTML as it is, lists of values do not: as Prometheus has it.
	api.get("/api/v1/query", "query", `{"some.metric"}`, "time", at).data(
		`{"resultType":"vector","result":[{"metric":{"__name__":"some.metric","a.label":"<a&b>\"\\\n` + "\u2028" + `\t\u0001é"},"value":[1700000030,"1"]}]}`)
	api.get("/api/v1/label/a.label/values").data(`["\u003ca\u0026b\u003e\"\\\n\u2028\t\u0001é"]`)
}

// A writer that counts how often it is written to, and fails after a while.
type countingWriter struct {
	*httptest.ResponseRecorder
	writes, most int
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.writes++
	if w.writes > w.most {
		return 0, errors.New("connection reset")
	}
	return w.ResponseRecorder.Write(b)
}

func TestLargeAnswersAreSentInPieces(t *testing.T) {
	api := newAPI(t, promql.Options{})
	target := "/api/v1/query_range?" + form("query", `{__name__=~".+"}`, "start", "1700000000", "end", "1700001860", "step", "1").Encode()
	send := func(most int) *countingWriter {
		w := &countingWriter{httptest.NewRecorder(), 0, most}
		api.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		return w
	}
	whole := send(math.MaxInt)
	if whole.writes < 10 || !json.Valid(whole.Body.Bytes()) || !strings.HasPrefix(whole.Body.String(), `{"status":"success","data":{"resultType":"matrix","result":[`) {
		t.Errorf("%d writes, %d bytes", whole.writes, whole.Body.Len())
	}
	if broken := send(3); broken.writes != 4 {
		t.Errorf("the connection broke in write 4, but there were %d", broken.writes)
	}
}

func TestQ13StaleMarkersStayOut(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	api := one(t,
		metric.Sample{Timestamp: 0, Value: 1}, metric.Sample{Timestamp: 1000, Value: math.NaN()},
		metric.Sample{Timestamp: 2000, Value: stale}, metric.Sample{Timestamp: 4000, Value: 4})
	api.get("/api/v1/query", "query", "x", "time", "1").data(`{"resultType":"vector","result":[{"metric":{"__name__":"x"},"value":[1,"NaN"]}]}`)
	api.get("/api/v1/query", "query", "x", "time", "2").data(`{"resultType":"vector","result":[]}`)
	api.get("/api/v1/query", "query", "x[5s]", "time", "4").data(`{"resultType":"matrix","result":[{"metric":{"__name__":"x"},"values":[[0,"1"],[1,"NaN"],[4,"4"]]}]}`)
	api.get("/api/v1/query_range", "query", "x", "start", "0", "end", "4", "step", "1").
		data(`{"resultType":"matrix","result":[{"metric":{"__name__":"x"},"values":[[0,"1"],[1,"NaN"],[4,"4"]]}]}`)
}
