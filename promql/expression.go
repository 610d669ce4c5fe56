package promql

import (
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// maxFormatted is how many operators an expression may have to be formatted: the time that takes grows faster than the
// square of its depth, and nothing can end it early.
const maxFormatted = 500

// parse returns the expression that a request is about.
func (a *API) parse(req *request) (parser.Expr, error) {
	text := req.FormValue("query")
	if err := a.checkText(text); err != nil {
		return nil, err
	}
	expr, err := a.parser.ParseExpr(text)
	if err != nil {
		return nil, invalidParameter("query", err)
	}
	return expr, nil
}

// formatQuery answers with an expression in the standard layout.
func (a *API) formatQuery(req *request) (*answer, error) {
	if n := countOperators(req.FormValue("query")); n > maxFormatted {
		return nil, problem.New(problem.Invalid, "the expression has %d operators, parentheses and brackets: at most %d are formatted", n, maxFormatted)
	}
	expr, err := a.parse(req)
	if err != nil {
		return nil, err
	}
	text := expr.Pretty(0)
	return &answer{data: func(e *encoder) { e.buf = appendString(e.buf, text, true) }}, nil
}

// parseQuery answers with the syntax tree of an expression.
func (a *API) parseQuery(req *request) (*answer, error) {
	expr, err := a.parse(req)
	if err != nil {
		return nil, err
	}
	return document(treeOf(expr))
}
