package metric

// TakesSlowly is Takes by way of what says why not.
func (r *Rules) TakesSlowly(b []byte) bool {
	reason, _ := r.checkLabels(b)
	return CanonicalPrefix(b) == len(b) && reason == ""
}

// TakesASCII is the short way of Takes.
func (r *Rules) TakesASCII(b []byte) bool { return r.takesASCII(b) }
