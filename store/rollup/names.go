package rollup

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/schema"

	"github.com/luminate-metrics/luminate/store"
)

// stripping takes the name, type and unit off a series if the function drops them at once.
type stripping bool

func stripsNames(q *store.Rollup) stripping {
	return stripping(!q.DelayNameRemoval && !keepsName(q.Func))
}

func (s stripping) apply(ls labels.Labels) labels.Labels {
	if !bool(s) || ls.Len() == 0 {
		return ls
	}
	return ls.DropReserved(schema.IsMetadataLabel)
}

// needless reports whether groups come out the same without stripping.
func (s stripping) needless(q *store.Rollup, all []labels.Labels) bool {
	if !q.Without {
		return !slices.ContainsFunc(q.Grouping, schema.IsMetadataLabel)
	}
	return plain(all) // Without drops the name in any case.
}

// plain reports whether no series has a type or a unit.
func plain(all []labels.Labels) bool {
	const typ, unit = "__type__", "__unit__"
	for i := range all {
		if all[i].Has(typ) || all[i].Has(unit) {
			return false
		}
	}
	return true
}

// named reports whether all series have one name.
func named(ms []*labels.Matcher) bool {
	for _, m := range ms {
		if m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value != "" {
			return true
		}
	}
	return false
}

// duplicates reports whether two series with a value differ in nothing but what is stripped: the engine refuses that.
func (s stripping) duplicates(q *store.Rollup, all []labels.Labels, counts []counted) bool {
	if !bool(s) || named(q.Matchers) && plain(all) {
		return false
	}
	seen := make(map[uint64]struct{}, len(all))
	for i := range all {
		if counts[i].values == 0 {
			continue
		}
		hash := s.apply(all[i]).Hash()
		if _, ok := seen[hash]; ok {
			return true
		}
		seen[hash] = struct{}{}
	}
	return false
}

// names returns the names of the series with a value.
func names(all []labels.Labels, counts []counted) []string {
	var out []string
	seen := map[string]struct{}{}
	last := ""
	for i := range all {
		if counts[i].values == 0 {
			continue
		}
		name := all[i].Get(labels.MetricName)
		if name == last || name == "" {
			continue
		}
		last = name
		if _, ok := seen[name]; !ok {
			seen[name] = struct{}{}
			out = append(out, name)
		}
	}
	return out
}
