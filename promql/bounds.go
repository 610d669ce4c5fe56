package promql

import (
	"fmt"
	"time"

	promengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/luminate-metrics/luminate/internal/problem"
)

// checkText refuses expressions whose mere parsing would cost too much: regular expressions take hundreds of times their
// length in memory, and the functions that walk over a syntax tree call themselves once for each level of it, which ends
// the whole process when the stack is full.
func (a *API) checkText(expressions ...string) error {
	size, operators := 0, 0
	for _, text := range expressions {
		size += len(text)
	}
	if size > a.limits.MaxExpressionBytes {
		return tooComplex("bytes", "expression bytes", "query.max_expression_bytes", a.limits.MaxExpressionBytes, size)
	}
	for _, text := range expressions {
		operators += countOperators(text)
	}
	if operators > a.limits.MaxOperators {
		return tooComplex("operators, parentheses and brackets", "operators", "query.max_operators", a.limits.MaxOperators, operators)
	}
	return nil
}

// countOperators counts what can make a syntax tree deeper.
func countOperators(text string) int {
	lexer, n := parser.Lex(text), 0
	for {
		var it parser.Item
		lexer.NextItem(&it)
		switch {
		case it.Typ == parser.EOF, it.Typ == parser.ERROR:
			return n
		case it.Typ.IsOperator(), it.Typ == parser.LEFT_PAREN, it.Typ == parser.LEFT_BRACKET:
			n++
		}
	}
}

func tooComplex(what, name, setting string, most, observed int) error {
	return &problem.Error{
		Of:     problem.Invalid,
		Detail: fmt.Sprintf("the expression has %d %s: the limit set by %s is %d: ask for less at a time", observed, what, setting, most),
		Limit:  &problem.Limit{Name: name, Max: int64(most), Observed: int64(observed), Setting: setting},
	}
}

// checkSubqueries refuses subqueries with too many steps. The engine sets memory aside for each of them before it counts
// any, without a bound of its own. most is the largest number of steps of the query and its subqueries.
func (a *API) checkSubqueries(q promengine.Query) (most int64, err error) {
	stmt, ok := q.Statement().(*parser.EvalStmt)
	if !ok {
		return 1, nil
	}
	most = 1
	if stmt.Interval > 0 {
		most += int64(stmt.End.Sub(stmt.Start) / stmt.Interval)
	}
	err = parser.Walk(inspector(func(n parser.Node, path []parser.Node) error {
		sub, ok := n.(*parser.SubqueryExpr)
		if !ok {
			return nil
		}
		step := sub.Step
		if step <= 0 {
			step = defaultSubqueryStep
		}
		// Milliseconds as a float can't overflow, however many ranges are added.
		span := milliseconds(sub.Range)
		for i := len(path); !fixed(sub); i-- {
			if i == 0 {
				span += milliseconds(stmt.End.Sub(stmt.Start))
				break
			}
			if outer, ok := path[i-1].(*parser.SubqueryExpr); ok {
				sub = outer
				span += milliseconds(outer.Range)
			}
		}
		steps := span / milliseconds(step)
		if steps <= float64(a.limits.MaxSubquerySteps) {
			most = max(most, int64(steps))
			return nil
		}
		return &problem.Error{
			Of: problem.Execution,
			Detail: fmt.Sprintf("a subquery has %.0f steps: the limit set by query.max_subquery_steps is %d: use a longer step or a shorter range",
				steps, a.limits.MaxSubquerySteps),
			Limit: &problem.Limit{Name: "subquery steps", Max: int64(a.limits.MaxSubquerySteps), Observed: int64(min(steps, 1<<62)), Setting: "query.max_subquery_steps"},
		}
	}), stmt.Expr, nil)
	return most, err
}

// fixed reports whether a subquery is evaluated at one time, whatever the times of the query.
func fixed(sub *parser.SubqueryExpr) bool { return sub.Timestamp != nil || sub.StartOrEnd != 0 }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// An inspector visits all nodes of a tree until one is an error.
type inspector func(n parser.Node, path []parser.Node) error

// Visit calls the inspector.
func (f inspector) Visit(n parser.Node, path []parser.Node) (parser.Visitor, error) {
	if n == nil {
		return f, nil
	}
	return f, f(n, path)
}
