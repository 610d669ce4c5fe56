package metric

// A Reason says why a part of a batch was not stored. Its text is an API: it appears in answers, as the label "reason"
// of luminate_rejected_items_total, and in the documentation. Add new ones to Reasons as well.
type Reason string

// The reasons.
const (
	InvalidName       Reason = "invalid_name"        // A metric or dimension name breaks the profile's syntax, or is missing.
	InvalidValue      Reason = "invalid_label_value" // A dimension value is too long or not UTF-8.
	DuplicateName     Reason = "duplicate_dimension" // A dimension occurs twice.
	ReservedName      Reason = "reserved_dimension"  // A dimension that only the server may set.
	TooManyDimensions Reason = "too_many_dimensions"
	TimestampTooOld   Reason = "timestamp_too_old"
	TimestampTooNew   Reason = "timestamp_too_new"
	ValueNotFinite    Reason = "value_not_finite"
	InvalidHistogram  Reason = "invalid_histogram"
	InvalidExemplar   Reason = "invalid_exemplar"
	InvalidSymbols    Reason = "invalid_symbol_reference" // Remote write 2.0 references a symbol that is not there.
	MixedSeries       Reason = "mixed_samples_and_histograms"
	EmptySeries       Reason = "empty_series"     // A series without anything to store.
	Malformed         Reason = "malformed"        // An item that can't be understood at all.
	PastRetention     Reason = "past_retention"   // Older than what the store still keeps.
	SeriesLimit       Reason = "series_limit"     // A new series over the tenant's limit.
	MetadataLimit     Reason = "metadata_limit"   // Metadata over the tenant's limit.
	Unsupported       Reason = "unsupported_item" // The store can't keep such an item.
)

// Reasons lists all reasons in the order of the documentation.
var Reasons = [...]Reason{
	InvalidName, InvalidValue, DuplicateName, ReservedName, TooManyDimensions, TimestampTooOld, TimestampTooNew,
	ValueNotFinite, InvalidHistogram, InvalidExemplar, InvalidSymbols, MixedSeries, EmptySeries, Malformed,
	PastRetention, SeriesLimit, MetadataLimit, Unsupported,
}

// A Rejection names a part of a batch that was not stored. It is permanent: sending the same part again gives the same
// rejection.
type Rejection struct {
	Series int    // Series.Origin: the index of the series in the request.
	Lost   Counts // What was lost of it; all zero for a series that had nothing to store.
	Reason Reason
	Detail string // For people: what, where, the limit, the way out.
}
