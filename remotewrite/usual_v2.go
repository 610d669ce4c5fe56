package remotewrite

import "bytes"

// usualV2 are the parts of a TimeSeries message in the form that senders write for floats.
type usualV2 struct {
	refs     []byte // Packed.
	samples  []byte // Fields of Sample messages, one at least.
	metadata []byte // A Metadata message.
	items    int    // What the parts and the series itself count.
}

// split finds the parts of msg. It is false if they are not labels, samples and metadata, in this order, or have lengths that
// they need not have.
func (u *usualV2) split(msg []byte) bool {
	const tagRefs, tagSample, tagMetadata = 1<<3 | wireBytes, 2<<3 | wireBytes, 5<<3 | wireBytes
	if len(msg) < 2 || msg[0] != tagRefs {
		return false
	}
	n, pos := uvarint(msg, 1)
	if pos < 0 || n > uint64(len(msg)-pos) {
		return false
	}
	u.refs = msg[pos : pos+int(n)]
	pos += int(n)
	from := pos
	u.items = 1
	for ; pos+2 <= len(msg) && msg[pos] == tagSample && msg[pos+1] < 0x80; u.items++ {
		pos += 2 + int(msg[pos+1])
	}
	if pos == from || pos > len(msg) || pos < from+8 { // Eight bytes for readLine.
		return false
	}
	u.samples, u.metadata = msg[from:pos], nil
	if pos+2 <= len(msg) && msg[pos] == tagMetadata && msg[pos+1] < 0x80 {
		u.metadata = msg[pos+2:]
		u.items++
		return len(u.metadata) == int(msg[pos+1])
	}
	return pos == len(msg)
}

// nextV2 takes in a TimeSeries message.
func (d *decoder) nextV2(msg []byte, origin int) error {
	if !d.longWay {
		if done, err := d.takeUsual(msg, origin); done {
			return err
		}
	}
	return d.seriesV2(msg, origin)
}

// takeUsual takes in a TimeSeries message of the usual form. If done is false, it isn't, or something is wrong with it, and
// nothing has happened.
func (d *decoder) takeUsual(msg []byte, origin int) (done bool, err error) {
	var u usualV2
	if !u.split(msg) || d.items+u.items > d.maxItems {
		return false, nil
	}
	says, ok := d.says(u.metadata)
	if !ok {
		return false, nil
	}
	l, ok := d.readLine(u.refs)
	if !ok || d.labelBytes+l.claim > d.maxLabelBytes {
		return false, nil
	}
	m := d.mark()
	for s := u.samples; len(s) > 0; {
		end := 2 + int(s[1])
		if !d.sample(s[2:end], 2) {
			d.drop(m)
			return false, nil
		}
		s = s[end:]
	}
	d.items += u.items
	d.labelBytes += l.claim
	d.startSeries(d.writeLine(l), origin, m)
	d.batch.Series[len(d.batch.Series)-1].Vetted = l.vetted
	return true, d.describe(l.name, says, origin)
}

// says decodes a Metadata message. It is false if that is malformed or refers to symbols that are not there.
func (d *decoder) says(msg []byte) (metadataV2, bool) {
	if len(msg) == 0 {
		return metadataV2{}, true
	}
	if bytes.Equal(msg, d.saidLast) {
		return d.saysLast, true
	}
	var m metadataV2
	if !m.decode(msg) || int(max(m.help, m.unit)) >= len(d.symbols) {
		return m, false
	}
	d.saidLast, d.saysLast = msg, m
	return m, true
}
