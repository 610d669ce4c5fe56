package answer_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/luminate-metrics/luminate/test/answer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func vector(series string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + series + `]}}`
}

func TestDiff(t *testing.T) {
	const a, b = `{"metric":{"n":"a"},"value":[1,"1"]}`, `{"metric":{"n":"b"},"value":[1,"0.3"]}`
	for _, c := range []struct {
		name, want, got string
		options         answer.Options
		same            bool
	}{
		{"same", vector(a), vector(a), answer.Options{}, true},
		{"another value", vector(a), vector(`{"metric":{"n":"a"},"value":[1,"2"]}`), answer.Options{}, false},
		{"another time", vector(a), vector(`{"metric":{"n":"a"},"value":[2,"1"]}`), answer.Options{}, false},
		{"another spelling of the time", vector(a), vector(`{"metric":{"n":"a"},"value":[1.000,"1"]}`), answer.Options{}, true},
		{"another label", vector(a), vector(`{"metric":{"n":"a","x":""},"value":[1,"1"]}`), answer.Options{}, false},
		{"a series less", vector(a + "," + b), vector(a), answer.Options{}, false},
		{"another order", vector(a + "," + b), vector(b + "," + a), answer.Options{}, true},
		{"another order that matters", vector(a + "," + b), vector(b + "," + a), answer.Options{Ordered: true}, false},
		{"last digit", vector(b), vector(`{"metric":{"n":"b"},"value":[1,"0.30000000000000004"]}`), answer.Options{}, false},
		{"last digit of a sum", vector(b), vector(`{"metric":{"n":"b"},"value":[1,"0.30000000000000004"]}`), answer.Options{Tolerance: 1e-12}, true},
		{"a number for NaN", vector(`{"metric":{},"value":[1,"NaN"]}`), vector(`{"metric":{},"value":[1,"1"]}`), answer.Options{Tolerance: 1}, false},
		{"a warning more", vector(a), `{"status":"success","warnings":["w"],"data":{"resultType":"vector","result":[` + a + `]}}`, answer.Options{}, false},
		{"warnings in another order", `{"warnings":["v","w"]}`, `{"warnings":["w","v"]}`, answer.Options{}, true},
		{"label values in another order", `{"data":["v","w"]}`, `{"data":["w","v"]}`, answer.Options{}, false},
		{"null for a list", `{"data":[]}`, `{"data":null}`, answer.Options{}, false},
		{"no JSON", `{}`, `404 page not found`, answer.Options{}, false},
	} {
		if d := answer.Diff([]byte(c.want), []byte(c.got), c.options); (d == "") != c.same {
			t.Errorf("%s: want the same: %v, got %q", c.name, c.same, d)
		}
	}
}
