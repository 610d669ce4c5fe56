package remoteread

import (
	"fmt"
	"io"
	"net/http"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/luminate-metrics/luminate/internal/problem"
	"github.com/luminate-metrics/luminate/store"
)

// A form is one of the response types.
type form uint8

const (
	undecided form = iota
	samples
	chunks
)

// String is the form as it stands in metrics.
func (f form) String() string { return [...]string{"unknown", "samples", "chunks"}[f] }

// A request is what a client asks for.
type request struct {
	form    form
	queries []query
}

// A query asks for the samples of some series in a range of time, both ends inclusive.
type query struct {
	store.Range
	store.Selection
}

// body reads the compressed body.
func (a *API) body(r *http.Request) ([]byte, error) {
	limit := int64(a.opts.MaxRequest)
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case r.Context().Err() != nil:
		return nil, fmt.Errorf("remoteread: read body: %w", r.Context().Err())
	case err != nil:
		return nil, problem.Wrap(problem.Invalid, err, "the body could not be read to its end")
	case int64(len(body)) > limit:
		return nil, tooLong(a.opts.MaxRequest, int64(len(body)))
	}
	return body, nil
}

func tooLong(limit int, observed int64) error {
	return &problem.Error{
		Of:     problem.Invalid,
		Detail: fmt.Sprintf("the request is longer than %d bytes, the limit (remote_read.max_request_bytes): send fewer queries or matchers", limit),
		Limit:  &problem.Limit{Name: "remote read request", Max: int64(limit), Observed: observed, Setting: "remote_read.max_request_bytes"},
	}
}

// decode takes a body apart.
func (a *API) decode(body []byte) (request, error) {
	n, err := snappy.DecodedLen(body)
	switch {
	case err != nil:
		return request{}, problem.Wrap(problem.Invalid, err, "the body is not in snappy's block format")
	case n > a.opts.MaxRequest:
		return request{}, tooLong(a.opts.MaxRequest, int64(n))
	}
	message, err := snappy.Decode(nil, body)
	if err != nil {
		return request{}, problem.Wrap(problem.Invalid, err, "the body is not in snappy's block format")
	}
	if n := countMatchers(message); n > a.opts.MaxMatchers {
		return request{}, tooMany(a.opts.MaxMatchers, n)
	}
	var pb prompb.ReadRequest
	if err := proto.Unmarshal(message, &pb); err != nil {
		return request{}, problem.Wrap(problem.Invalid, err, "the body is not a valid prometheus.ReadRequest message")
	}
	f, err := negotiate(pb.AcceptedResponseTypes)
	if err != nil {
		return request{}, err
	}
	req := request{form: f, queries: make([]query, 0, len(pb.Queries))}
	regexps := 0
	for i, q := range pb.Queries {
		regexps += regexpBytes(q.Matchers)
		if regexps > a.opts.MaxRegexp {
			return request{}, tooMuchRegexp(a.opts.MaxRegexp, regexps)
		}
		matchers, err := matchersOf(q.Matchers)
		if err != nil {
			return request{}, problem.New(problem.Invalid, "query %d: %s", i, err)
		}
		// The hints of a query could only make the answer smaller than what it asks for, as some stores leave out samples
		// outside of the hinted range, or all samples for the function "series". So they are not passed on.
		req.queries = append(req.queries, query{
			Range:     store.Range{Min: q.StartTimestampMs, Max: q.EndTimestampMs},
			Selection: store.Selection{Matchers: matchers},
		})
	}
	return req, nil
}

func tooMany(limit, observed int) error {
	return &problem.Error{
		Of:     problem.Invalid,
		Detail: fmt.Sprintf("the request holds %d queries and matchers, the limit is %d (remote_read.max_matchers): send fewer of them", observed, limit),
		Limit:  &problem.Limit{Name: "remote read matchers", Max: int64(limit), Observed: int64(observed), Setting: "remote_read.max_matchers"},
	}
}

func tooMuchRegexp(limit, observed int) error {
	return &problem.Error{
		Of:     problem.Invalid,
		Detail: fmt.Sprintf("the regular expressions of the request have more than %d bytes, the limit (remote_read.max_regexp_bytes): match less at a time", limit),
		Limit:  &problem.Limit{Name: "remote read regular expressions", Max: int64(limit), Observed: int64(observed), Setting: "remote_read.max_regexp_bytes"},
	}
}

// regexpBytes is the length of all regular expressions in pb.
func regexpBytes(pb []*prompb.LabelMatcher) (n int) {
	for _, m := range pb {
		if m.Type == prompb.LabelMatcher_RE || m.Type == prompb.LabelMatcher_NRE {
			n += len(m.Value)
		}
	}
	return n
}

// countMatchers counts the queries of a ReadRequest message and the messages in them before any of them is made: an empty
// one takes two bytes in the message and a hundred in memory. It stops at malformed bytes, which Unmarshal refuses.
func countMatchers(message []byte) (n int) {
	fields(message, func(number protowire.Number, query []byte) {
		n++
		if number == 1 {
			fields(query, func(protowire.Number, []byte) { n++ })
		}
	})
	return n
}

// fields calls f for each field of a message that has a length.
func fields(message []byte, f func(number protowire.Number, content []byte)) {
	for len(message) > 0 {
		number, typ, size := protowire.ConsumeField(message)
		if size < 0 {
			return
		}
		if typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			content, _ := protowire.ConsumeBytes(message[tag:size])
			f(number, content)
		}
		message = message[size:]
	}
}

// negotiate picks the first of the accepted response types that is known here.
func negotiate(accepted []prompb.ReadRequest_ResponseType) (form, error) {
	for _, t := range accepted {
		switch t {
		case prompb.ReadRequest_SAMPLES:
			return samples, nil
		case prompb.ReadRequest_STREAMED_XOR_CHUNKS:
			return chunks, nil
		}
	}
	if len(accepted) == 0 {
		return samples, nil
	}
	return undecided, problem.New(problem.Invalid, "none of the accepted response types is known: use SAMPLES (0) or STREAMED_XOR_CHUNKS (1)")
}

func matchersOf(pb []*prompb.LabelMatcher) ([]*labels.Matcher, error) {
	out := make([]*labels.Matcher, 0, len(pb))
	for _, m := range pb {
		var typ labels.MatchType
		switch m.Type {
		case prompb.LabelMatcher_EQ:
			typ = labels.MatchEqual
		case prompb.LabelMatcher_NEQ:
			typ = labels.MatchNotEqual
		case prompb.LabelMatcher_RE:
			typ = labels.MatchRegexp
		case prompb.LabelMatcher_NRE:
			typ = labels.MatchNotRegexp
		default:
			return nil, fmt.Errorf("the matcher on %.100q has the unknown type %d", m.Name, m.Type)
		}
		matcher, err := labels.NewMatcher(typ, m.Name, m.Value)
		if err != nil {
			return nil, fmt.Errorf("the matcher on %.100q: %w", m.Name, err)
		}
		out = append(out, matcher)
	}
	return out, nil
}
