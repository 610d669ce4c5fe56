// Package answer compares answers of the Prometheus HTTP API by what they mean.
package answer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Options say what counts as equal.
type Options struct {
	Ordered   bool    // The order of the series matters, as after sort().
	Tolerance float64 // Relative difference that values may have; sums depend on the order of the series.
}

// Diff returns where the two bodies differ in meaning, or "" if they do not. Series may stand in any order, as may
// warnings; all else counts.
func Diff(want, got []byte, o Options) string {
	a, err := parse(want)
	if err != nil {
		return fmt.Sprintf("the wanted answer is no JSON: %v: %.300s", err, want)
	}
	b, err := parse(got)
	if err != nil {
		return fmt.Sprintf("the answer is no JSON: %v: %.300s", err, got)
	}
	if !o.Ordered {
		a, b = sorted(a), sorted(b)
	}
	return o.diff("", a, b)
}

func parse(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// sorted puts lists of objects and of warnings into an order of their own. Lists of points and of label values keep theirs.
func sorted(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for _, k := range []string{"warnings", "infos"} {
		sortList(m[k])
	}
	sortList(objects(m["data"]))
	if data, ok := m["data"].(map[string]any); ok {
		sortList(objects(data["result"]))
	}
	return v
}

// objects returns v if it is a list of objects.
func objects(v any) any {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil
	}
	if _, ok := list[0].(map[string]any); !ok {
		return nil
	}
	return list
}

func sortList(v any) {
	list, ok := v.([]any)
	if !ok {
		return
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(sortKey(a), sortKey(b)) })
}

// sortKey is what tells a series from the others; values are left out, because they may differ within the tolerance.
func sortKey(v any) string {
	if m, ok := v.(map[string]any); ok {
		for _, k := range []string{"metric", "seriesLabels"} {
			if id, ok := m[k]; ok {
				v = id
			}
		}
	}
	b, _ := json.Marshal(v) // Maps are written in the order of their keys.
	return string(b)
}

func (o Options) diff(path string, a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return unequal(path, a, b)
		}
		return o.diffMaps(path, x, y)
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return unequal(path, a, b)
		}
		for i := range x {
			if d := o.diff(fmt.Sprintf("%s[%d]", path, i), x[i], y[i]); d != "" {
				return d
			}
		}
		return ""
	case json.Number:
		y, ok := b.(json.Number)
		if ok && sameNumber(string(x), string(y), 0) {
			return ""
		}
	case string:
		y, ok := b.(string)
		if ok && (x == y || o.Tolerance > 0 && sameNumber(x, y, o.Tolerance)) {
			return ""
		}
	default:
		if a == b {
			return ""
		}
	}
	return unequal(path, a, b)
}

func (o Options) diffMaps(path string, x, y map[string]any) string {
	for k, v := range x {
		w, ok := y[k]
		if !ok {
			return unequal(path+"."+k, v, nil)
		}
		if d := o.diff(path+"."+k, v, w); d != "" {
			return d
		}
	}
	for k, w := range y {
		if _, ok := x[k]; !ok {
			return unequal(path+"."+k, nil, w)
		}
	}
	return ""
}

func sameNumber(a, b string, tolerance float64) bool {
	x, err := strconv.ParseFloat(a, 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(b, 64)
	if err != nil {
		return false
	}
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return true
	}
	return math.Abs(x-y) <= tolerance*math.Max(math.Abs(x), math.Abs(y))
}

func unequal(path string, want, got any) string {
	return fmt.Sprintf("at %s: want %s, got %s", strings.TrimPrefix(path, "."), short(want), short(got))
}

func short(v any) string {
	if v == nil {
		return "nothing"
	}
	b, _ := json.Marshal(v)
	if list, ok := v.([]any); ok && len(b) > 400 {
		return fmt.Sprintf("%d items %s...", len(list), b[:400])
	}
	if len(b) > 400 {
		return string(b[:400]) + "..."
	}
	return string(b)
}
