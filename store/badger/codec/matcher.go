package codec

import (
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"
)

// AppendMatchers appends label matchers.
func AppendMatchers(dst []byte, list []*labels.Matcher) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, m := range list {
		dst = append(dst, byte(m.Type))
		dst = AppendBytes(dst, m.Name)
		dst = AppendBytes(dst, m.Value)
	}
	return dst
}

// Matchers takes what AppendMatchers wrote.
func (d *Decoder) Matchers() []*labels.Matcher {
	n := d.Count(3)
	out := make([]*labels.Matcher, 0, n)
	for range n {
		kind, name, value := labels.MatchType(d.Byte()), d.String(), d.String()
		if d.failed || kind < labels.MatchEqual || kind > labels.MatchNotRegexp {
			d.Fail()
			return nil
		}
		m, err := labels.NewMatcher(kind, name, value)
		if err != nil {
			d.Fail()
			return nil
		}
		out = append(out, m)
	}
	return out
}
