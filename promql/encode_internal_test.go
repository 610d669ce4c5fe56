package promql

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
)

// FuzzNumbers checks that numbers survive to the last bit; their form is compared with Prometheus's elsewhere.
func FuzzNumbers(f *testing.F) {
	for _, v := range []float64{0, 1, -1, 1e-6, 9.99e-7, 1e21, 1e20, math.Inf(1), math.NaN(), 5e-324} {
		f.Add(v, int64(v*1000))
	}
	f.Add(1.0, int64(math.MaxInt64))
	f.Add(1.0, int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, v float64, ts int64) {
		text := string(appendFloat(nil, v))
		back, err := strconv.ParseFloat(strings.Trim(text, `"`), 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(v) && !(math.IsNaN(v) && math.IsNaN(back)) {
			t.Errorf("%v: %s (%v)", v, text, err)
		}
		text = string(appendTimestamp(nil, ts))
		whole, fraction, _ := strings.Cut(text, ".")
		if len(fraction) != 0 && len(fraction) != 3 {
			t.Errorf("%d: %s", ts, text)
		}
		ms, err := strconv.ParseInt(whole+(fraction + "000")[:3], 10, 64)
		if err != nil || ms != ts {
			t.Errorf("%d: %s is %d (%v)", ts, text, ms, err)
		}
	})
}

// FuzzString checks that a string survives, whatever it holds.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "<&>\"\\", "\x00\x1f\n\r\t", "é\u2028\u2029", "\xff\xc3", "a\xe2\x28"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var wanted string
		if err := json.Unmarshal(want, &wanted); err != nil {
			t.Fatal(err)
		}
		for _, html := range []bool{false, true} {
			got := appendString(nil, s, html)
			var back string
			if err := json.Unmarshal(got, &back); err != nil || back != wanted {
				t.Errorf("%q, html %v: %s (%v)", s, html, got, err)
			}
			if html && bytes.ContainsAny(got, "<>&") {
				t.Errorf("%q: %s", s, got)
			}
		}
	})
}
