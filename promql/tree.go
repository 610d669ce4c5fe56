package promql

import (
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// A node is a node of a syntax tree in JSON, with the member names that Prometheus's own page reads.
type node = map[string]any

// treeOf returns the syntax tree of expr; nil for no expression.
func treeOf(expr parser.Expr) any {
	switch n := expr.(type) {
	case *parser.AggregateExpr:
		return node{
			"type": "aggregation", "op": n.Op.String(), "expr": treeOf(n.Expr), "param": treeOf(n.Param),
			"grouping": orEmpty(n.Grouping), "without": n.Without,
		}
	case *parser.BinaryExpr:
		return node{
			"type": "binaryExpr", "op": n.Op.String(), "lhs": treeOf(n.LHS), "rhs": treeOf(n.RHS),
			"matching": matchingOf(n.VectorMatching), "bool": n.ReturnBool,
		}
	case *parser.Call:
		return callOf(n)
	case *parser.MatrixSelector:
		out := selectorOf("matrixSelector", n.VectorSelector.(*parser.VectorSelector))
		out["range"] = n.Range.Milliseconds()
		out["rangeExpr"] = durationOf(n.RangeExpr)
		return out
	case *parser.VectorSelector:
		return selectorOf("vectorSelector", n)
	case *parser.SubqueryExpr:
		return subqueryOf(n)
	case *parser.NumberLiteral:
		return node{"type": "numberLiteral", "val": number(n.Val)}
	case *parser.StringLiteral:
		return node{"type": "stringLiteral", "val": n.Val}
	case *parser.ParenExpr:
		return node{"type": "parenExpr", "expr": treeOf(n.Expr)}
	case *parser.UnaryExpr:
		return node{"type": "unaryExpr", "op": n.Op.String(), "expr": treeOf(n.Expr)}
	case *parser.DurationExpr:
		return durationOf(n)
	default:
		return nil
	}
}

func callOf(n *parser.Call) node {
	args := make([]any, len(n.Args))
	for i, arg := range n.Args {
		args[i] = treeOf(arg)
	}
	f := n.Func
	return node{
		"type": "call", "args": args,
		"func": node{"name": f.Name, "argTypes": f.ArgTypes, "variadic": f.Variadic, "returnType": f.ReturnType},
	}
}

func selectorOf(kind string, n *parser.VectorSelector) node {
	return node{
		"type": kind, "name": n.Name, "matchers": matchersOf(n.LabelMatchers),
		"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationOf(n.OriginalOffsetExpr),
		"timestamp": n.Timestamp, "startOrEnd": boundOf(n.StartOrEnd),
		"anchored": n.Anchored, "smoothed": n.Smoothed,
	}
}

func subqueryOf(n *parser.SubqueryExpr) node {
	return node{
		"type": "subquery", "expr": treeOf(n.Expr),
		"range": n.Range.Milliseconds(), "rangeExpr": durationOf(n.RangeExpr),
		"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationOf(n.OriginalOffsetExpr),
		"step": n.Step.Milliseconds(), "stepExpr": durationOf(n.StepExpr),
		"timestamp": n.Timestamp, "startOrEnd": boundOf(n.StartOrEnd),
	}
}

func matchingOf(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return node{
		"card": m.Card.String(), "labels": orEmpty(m.MatchingLabels), "on": m.On, "include": orEmpty(m.Include),
		"fillValues": node{"lhs": fillOf(m.FillValues.LHS), "rhs": fillOf(m.FillValues.RHS)},
	}
}

// fillOf is a fill value: a number, or its name if JSON has none for it.
func fillOf(v *float64) any {
	switch {
	case v == nil:
		return nil
	case math.IsNaN(*v) || math.IsInf(*v, 0):
		return number(*v)
	default:
		return *v
	}
}

func matchersOf(ms []*labels.Matcher) []node {
	out := make([]node, len(ms))
	for i, m := range ms {
		out[i] = node{"name": m.Name, "value": m.Value, "type": m.Type.String()}
	}
	return out
}

// durationOf is treeOf for what stands in place of a duration. The parser hands out nil pointers of either type.
func durationOf(expr parser.Expr) any {
	switch n := expr.(type) {
	case *parser.DurationExpr:
		if n == nil {
			return nil
		}
		return node{
			"type": "durationExpr", "op": n.Op.String(), "lhs": durationOf(n.LHS), "rhs": durationOf(n.RHS), "wrapped": n.Wrapped,
		}
	case *parser.NumberLiteral:
		if n == nil {
			return nil
		}
		return node{"type": "numberLiteral", "val": number(n.Val), "duration": n.Duration}
	default:
		return treeOf(n)
	}
}

// boundOf names start() or end() after an @.
func boundOf(i parser.ItemType) any {
	if i == 0 {
		return nil
	}
	return i.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
