package remotewrite

import (
	"github.com/luminate-metrics/luminate/internal/metric"
)

const messageV1 = "prometheus.WriteRequest"

// decodeV1 decodes a prometheus.WriteRequest into the batch. The labels of its series point into body where they
// arrive in canonical form. On an error the batch is of no use.
func (d *decoder) decodeV1(body []byte) error {
	r := reader{b: body}
	series, metadata, foreign := 0, 0, false
	for r.next() {
		switch r.num {
		case 1:
			if !r.is(wireBytes) {
				continue
			}
			if err := d.nextV1(r.body, series); err != nil {
				return err
			}
			series++
		case 3:
			if !r.is(wireBytes) {
				continue
			}
			if err := d.confirm(); err != nil {
				return err
			}
			if err := d.metadataV1(r.body, metadata); err != nil {
				return err
			}
			metadata++
		case 5:
			foreign = r.typ == wireBytes
		}
	}
	if err := d.confirm(); err != nil {
		return err
	}
	switch {
	case r.bad:
		return malformed(messageV1, series+metadata)
	case foreign && series+metadata == 0:
		return mistaken(messageV1, messageV2)
	}
	return nil
}

func (d *decoder) seriesV1(msg []byte, origin int) error {
	if err := d.grow(); err != nil {
		return err
	}
	m := d.mark()
	n := metric.CanonicalPrefix(msg)
	canonical := msg[:n:n]
	rebuild := false
	r := reader{b: msg, pos: len(canonical)}
	for r.next() {
		if r.num > 4 {
			continue
		}
		if !r.is(wireBytes) {
			break
		}
		if err := d.grow(); err != nil {
			return err
		}
		switch r.num {
		case 1:
			// Not all labels stand at the front in canonical form. They are read once more below.
			if _, _, ok := labelV1(r.body); !ok {
				r.bad = true
			}
			rebuild = true
		case 2:
			r.bad = !d.sample(r.body, 1)
		case 3:
			r.bad = !d.exemplarV1(r.body, origin)
		case 4:
			r.bad = !d.histogram(r.body, 1)
		}
	}
	if r.bad {
		return malformed(messageV1, origin)
	}
	if rebuild {
		built, dup, ok := d.rebuildLabels(msg)
		if !ok {
			d.reject(origin, d.since(m), metric.DuplicateName, "label %q occurs more than once in a series", clip(dup))
			d.drop(m)
			return nil
		}
		canonical = built
	}
	if d.since(m) == (metric.Counts{}) {
		if err := d.countBare(); err != nil {
			return err
		}
	}
	// A series of which nothing is left keeps its place: its labels may be bad, and that is said.
	d.startSeries(canonical, origin, m)
	return nil
}

// exemplarV1 decodes a prometheus.Exemplar. It reports false for malformed bytes.
func (d *decoder) exemplarV1(msg []byte, origin int) bool {
	var e metric.Exemplar
	n := metric.CanonicalPrefix(msg)
	canonical := msg[:n:n]
	rebuild := false
	r := reader{b: msg, pos: len(canonical)}
	for r.next() {
		switch r.num {
		case 1:
			if !r.is(wireBytes) {
				return false
			}
			if _, _, ok := labelV1(r.body); !ok {
				return false
			}
			rebuild = true
		case 2:
			e.Value = r.double()
		case 3:
			e.Timestamp = r.int64()
		}
	}
	if r.bad {
		return false
	}
	if rebuild {
		built, dup, ok := d.rebuildLabels(msg)
		if !ok {
			d.reject(origin, metric.Counts{Exemplars: 1}, metric.InvalidExemplar, "exemplar has the label %q more than once", clip(dup))
			return true
		}
		canonical = built
	}
	e.Labels = canonical
	d.batch.Exemplars = append(d.batch.Exemplars, e)
	return true
}

func (d *decoder) metadataV1(msg []byte, origin int) error {
	if err := d.grow(); err != nil {
		return err
	}
	var typ uint32
	var family, help, unit []byte
	r := reader{b: msg}
	for r.next() {
		switch r.num {
		case 1:
			typ = r.uint32()
		case 2, 4, 5:
			if !r.is(wireBytes) {
				continue
			}
			switch r.num {
			case 2:
				family = r.body
			case 4:
				help = r.body
			case 5:
				unit = r.body
			}
		}
	}
	if r.bad {
		return malformed(messageV1, origin)
	}
	d.addMetadata(origin, family, metricType(typ), help, unit)
	return nil
}

// rebuildLabels brings the labels of a TimeSeries or Exemplar message, whose bytes were checked before, into canonical
// form.
func (d *decoder) rebuildLabels(msg []byte) (canonical, dup []byte, ok bool) {
	d.builder.Reset()
	r := reader{b: msg}
	for r.next() {
		if r.num == 1 {
			name, value, _ := labelV1(r.body)
			d.builder.Add(name, value)
		}
	}
	return d.builder.Encode(d.batch)
}

// labelV1 decodes a prometheus.Label.
func labelV1(msg []byte) (name, value []byte, ok bool) {
	r := reader{b: msg}
	for r.next() {
		if r.num > 2 {
			continue
		}
		if !r.is(wireBytes) {
			break
		}
		if r.num == 1 {
			name = r.body
		} else {
			value = r.body
		}
	}
	return name, value, !r.bad
}

// clip keeps error texts short, whatever a client sends.
func clip(b []byte) []byte {
	const most = 64
	return b[:min(len(b), most)]
}
