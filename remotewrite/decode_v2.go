package remotewrite

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/luminate-metrics/luminate/internal/metric"
	"github.com/luminate-metrics/luminate/internal/problem"
)

const messageV2 = "io.prometheus.write.v2.Request"

// decodeV2 decodes an io.prometheus.write.v2.Request into the batch. On an error the batch is of no use.
func (d *decoder) decodeV2(body []byte) error {
	// Symbols may stand behind the series that use them.
	r := reader{b: body}
	series, foreign := 0, false
	for r.next() {
		switch {
		case r.num == 1 && r.typ == wireBytes:
			foreign = true
		case r.num == 4 && r.is(wireBytes):
			if err := d.grow(); err != nil {
				return err
			}
			d.symbols = append(d.symbols, r.body)
		case r.num == 5 && r.is(wireBytes):
			series++
		}
	}
	switch {
	case r.bad:
		return malformed(messageV2, series)
	case foreign && series == 0:
		return mistaken(messageV2, messageV1)
	case len(d.symbols) > 0 && len(d.symbols[0]) != 0:
		return problem.New(problem.Invalid, "the first symbol of the request must be the empty string, it is %q; nothing was stored", clip(d.symbols[0]))
	}
	d.said = slices.Grow(d.said[:0], len(d.symbols))[:len(d.symbols)]
	clear(d.said)
	d.pairs.reset(len(d.symbols))
	r = reader{b: body}
	for origin := 0; r.next(); {
		if r.num == 5 {
			if err := d.nextV2(r.body, origin); err != nil {
				return err
			}
			origin++
		}
	}
	return nil
}

// A seriesV2 is what a TimeSeries message says besides its items.
type seriesV2 struct {
	created  int64 // Start timestamp in the form of early senders.
	metadata metadataV2
}

type metadataV2 struct{ typ, help, unit uint32 }

func (d *decoder) seriesV2(msg []byte, origin int) error {
	if err := d.grow(); err != nil {
		return err
	}
	m := d.mark()
	refused := len(d.rejected)
	var s seriesV2
	d.refs = d.refs[:0]
	r := reader{b: msg}
	for r.next() {
		if err := d.fieldV2(&r, &s, origin); err != nil {
			return err
		}
	}
	if r.bad {
		return malformed(messageV2, origin)
	}
	d.setStart(m, s.created)
	hadExemplars := len(d.rejected) > refused

	lost := d.since(m)
	nameRef, canonical, ok := d.labelsV2(&s, origin, lost)
	if d.labelBytes > d.maxLabelBytes {
		return d.tooManyLabelBytes() // The exemplars count, too.
	}
	if !ok {
		d.drop(m)
		return nil
	}
	if err := d.describe(nameRef, s.metadata, origin); err != nil {
		return err
	}
	name := d.symbol(nameRef)
	switch {
	case lost.Samples > 0 && lost.Histograms > 0:
		d.reject(origin, lost, metric.MixedSeries, "series %q has %d samples and %d native histograms: a series may have one kind only",
			clip(name), lost.Samples, lost.Histograms)
		d.drop(m)
	case lost.Total() > 0:
		d.startSeries(canonical, origin, m)
	case !hadExemplars:
		if err := d.countBare(); err != nil {
			return err
		}
		d.reject(origin, lost, metric.EmptySeries, "series %q has neither samples nor native histograms nor exemplars", clip(name))
	}
	return nil
}

// describe notes the metadata of a series unless it is noted already.
func (d *decoder) describe(nameRef uint32, m metadataV2, origin int) error {
	name := d.symbol(nameRef)
	if m == (metadataV2{}) || len(name) == 0 || d.said[nameRef] == m {
		return nil
	}
	typ := metricType(m.typ)
	if !d.claim(len(name) + len(d.symbol(m.help)) + len(d.symbol(m.unit))) {
		return d.tooManyLabelBytes()
	}
	if d.addMetadata(origin, familyName(name, typ), typ, d.symbol(m.help), d.symbol(m.unit)) {
		d.said[nameRef] = m
	}
	return nil
}

// fieldV2 takes in the current field of a TimeSeries message.
func (d *decoder) fieldV2(r *reader, s *seriesV2, origin int) error {
	switch {
	case r.num == 1:
		d.refs = packedVarints(r, d.refs, toUint32)
		return nil
	case r.num == 6 && r.typ == wireVarint:
		s.created = r.int64()
		return nil
	case r.num > 5 || !r.is(wireBytes):
		return nil
	}
	if err := d.grow(); err != nil {
		return err
	}
	switch r.num {
	case 2:
		r.bad = !d.sample(r.body, 2)
	case 3:
		r.bad = !d.histogram(r.body, 2)
	case 4:
		r.bad = !d.exemplarV2(r.body, origin)
	case 5:
		r.bad = !s.metadata.decode(r.body)
	}
	return nil
}

func (m *metadataV2) decode(msg []byte) bool {
	r := reader{b: msg}
	for r.next() {
		switch r.num {
		case 1:
			m.typ = r.uint32()
		case 3:
			m.help = r.uint32()
		case 4:
			m.unit = r.uint32()
		}
	}
	return !r.bad
}

// symbol returns the symbol of a reference that metadata makes. Without symbols there is still the empty one.
func (d *decoder) symbol(ref uint32) []byte {
	if len(d.symbols) == 0 {
		return nil
	}
	return d.symbols[ref]
}

// maxLabels bounds the labels of a series until the rules look at it, which do not see those of empty value.
const maxLabels = 10_000

// checkRefs returns why the references of labels are bad, or "".
func (d *decoder) checkRefs(refs []uint32) string {
	if most := max(maxLabels, d.rules.MaxDimensions+1); len(refs) > 2*most {
		return fmt.Sprintf("%d label references, more than %d labels need", len(refs), most)
	}
	if len(refs)%2 != 0 {
		return fmt.Sprintf("an odd number of label references (%d)", len(refs))
	}
	for _, ref := range refs {
		if int(ref) >= len(d.symbols) {
			return d.noSymbol(ref)
		}
	}
	return ""
}

func (d *decoder) noSymbol(ref uint32) string {
	return fmt.Sprintf("a reference to symbol %d where the request has %d symbols", ref, len(d.symbols))
}

// labelsV2 checks the references of the current series and returns its canonical labels and the reference of its metric
// name, which is that of the empty symbol if there is none. If references are bad, the series is rejected.
func (d *decoder) labelsV2(s *seriesV2, origin int, lost metric.Counts) (nameRef uint32, canonical []byte, ok bool) {
	why := d.checkRefs(d.refs)
	for _, ref := range [...]uint32{s.metadata.help, s.metadata.unit} {
		if why == "" && ref != 0 && int(ref) >= len(d.symbols) {
			why = d.noSymbol(ref)
		}
	}
	if why != "" {
		d.reject(origin, lost, metric.InvalidSymbols, "series has %s", why)
		return 0, nil, false
	}
	canonical, dup, ok := d.encodeRefs(d.refs)
	if !ok {
		d.reject(origin, lost, metric.DuplicateName, "label %q occurs more than once in a series", clip(dup))
		return 0, nil, false
	}
	for i := 0; i < len(d.refs); i += 2 {
		if isMetricName(d.symbols[d.refs[i]]) {
			nameRef = d.refs[i+1]
		}
	}
	return nameRef, canonical, true
}

// exemplarV2 decodes an io.prometheus.write.v2.Exemplar. It reports false for malformed bytes.
func (d *decoder) exemplarV2(msg []byte, origin int) bool {
	var e metric.Exemplar
	d.exRefs = d.exRefs[:0]
	r := reader{b: msg}
	for r.next() {
		switch r.num {
		case 1:
			d.exRefs = packedVarints(&r, d.exRefs, toUint32)
		case 2:
			e.Value = r.double()
		case 3:
			e.Timestamp = r.int64()
		}
	}
	if r.bad {
		return false
	}
	lost := metric.Counts{Exemplars: 1}
	if why := d.checkRefs(d.exRefs); why != "" {
		d.reject(origin, lost, metric.InvalidSymbols, "exemplar has %s", why)
		return true
	}
	canonical, dup, ok := d.encodeRefs(d.exRefs)
	if !ok {
		d.reject(origin, lost, metric.InvalidExemplar, "exemplar has the label %q more than once", clip(dup))
		return true
	}
	e.Labels = canonical
	d.batch.Exemplars = append(d.batch.Exemplars, e)
	return true
}

// encodeRefs writes the labels that refs name into the arena, in canonical form. All refs must be good. Labels that claim
// refuses are not written.
func (d *decoder) encodeRefs(refs []uint32) (canonical, dup []byte, ok bool) {
	size := 0
	var last []byte
	for i := 0; i < len(refs); i += 2 {
		name, value := d.symbols[refs[i]], d.symbols[refs[i+1]]
		if len(value) == 0 || bytes.Compare(last, name) >= 0 {
			return d.rebuildRefs(refs)
		}
		last = name
		size += labelClaim(name, value)
	}
	if size == 0 {
		return nil, nil, true
	}
	if !d.claim(size) {
		return nil, nil, true
	}
	out := d.batch.Alloc(size)[:0]
	for i := 0; i < len(refs); i += 2 {
		out = metric.AppendLabel(out, d.symbols[refs[i]], d.symbols[refs[i+1]])
	}
	return out, nil, true
}

// rebuildRefs is encodeRefs for labels that do not come in order, or are empty.
func (d *decoder) rebuildRefs(refs []uint32) (canonical, dup []byte, ok bool) {
	d.builder.Reset()
	size := 0
	for i := 0; i < len(refs); i += 2 {
		size += labelClaim(d.symbols[refs[i]], d.symbols[refs[i+1]])
		d.builder.Add(d.symbols[refs[i]], d.symbols[refs[i+1]])
	}
	if !d.claim(size) {
		return nil, nil, true
	}
	return d.builder.Encode(d.batch)
}
