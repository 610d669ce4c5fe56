package promql

// formatQuery answers with an expression in the standard layout.
func (a *API) formatQuery(req *request) (*answer, error) {
	expr, err := a.parser.ParseExpr(req.FormValue("query"))
	if err != nil {
		return nil, invalidParameter("query", err)
	}
	text := expr.Pretty(0)
	return &answer{data: func(e *encoder) { e.buf = appendString(e.buf, text, true) }}, nil
}

// parseQuery answers with the syntax tree of an expression.
func (a *API) parseQuery(req *request) (*answer, error) {
	expr, err := a.parser.ParseExpr(req.FormValue("query"))
	if err != nil {
		return nil, invalidParameter("query", err)
	}
	return document(treeOf(expr))
}
