package rowgroup

// Modes returns the mode of each member's column, 0 for absent ones, and of each timestamp column.
func (r *Reader) Modes() (values [MaxMembers]int, times []int) {
	for i := range r.columns {
		if r.members>>i&1 == 0 {
			continue
		}
		values[i] = int(r.columns[i].mode)
		if r.columns[i].fixed {
			values[i] = modeCorrected
		}
	}
	for _, c := range r.times {
		times = append(times, int(c.mode))
	}
	return values, times
}

// Chain returns how many columns the read of a member decodes.
func (r *Reader) Chain(member int) int {
	n := 1
	for ; r.columns[member].leans; n++ {
		member = r.previous(member)
	}
	return n
}

// Seal makes the checksum of a forged value right.
func Seal(value []byte) {
	if len(value) >= fixedBytes {
		c := checksum(value)
		value[0], value[1], value[2], value[3] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
	}
}
