package archtest

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	inlineLink    = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)`)
	referenceLink = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s+"[^"]*")?\s*$`)
	codeSpan      = regexp.MustCompile("`[^`]*`")
	heading       = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	htmlAnchor    = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	linkText      = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notInSlug     = regexp.MustCompile(`[^\p{L}\p{N}_\- ]`)
)

// A link is a reference from a Markdown page to something in the tree.
type link struct {
	line   int
	target string // Path relative to the root.
	anchor string
	raw    string
}

func checkLinks(t *Tree) []Complaint {
	var out []Complaint
	for _, page := range slices.Sorted(maps.Keys(t.Markdown)) {
		for _, l := range localLinks(page, t.Markdown[page]) {
			text, isPage := t.Markdown[l.target]
			switch {
			case strings.HasPrefix(l.raw, "/") || strings.HasPrefix(l.target, "../"):
				out = append(out, Complaint{
					Path: page, Line: l.line, What: fmt.Sprintf("link %q leaves the tree", l.raw),
					Instead: "use a path relative to the page",
				})
			case !t.exists(l.target):
				out = append(out, Complaint{
					Path: page, Line: l.line, What: fmt.Sprintf("link %q points to %s, which is not there", l.raw, l.target),
					Instead: "correct the path, or let the link land together with its page",
				})
			case isPage && l.anchor != "" && !slices.Contains(anchors(text), l.anchor):
				out = append(out, Complaint{
					Path: page, Line: l.line, What: fmt.Sprintf("link %q names a heading that %s does not have", l.raw, l.target),
					Instead: "use one of its headings in lower case with hyphens",
				})
			}
		}
	}
	return out
}

// checkOrphans wants every page below docs to be reachable from its index.
func checkOrphans(t *Tree) []Complaint {
	const index = "docs/README.md"
	seen := map[string]bool{index: true}
	for queue := []string{index}; len(queue) > 0; queue = queue[1:] {
		for _, l := range localLinks(queue[0], t.Markdown[queue[0]]) {
			if _, isPage := t.Markdown[l.target]; isPage && !seen[l.target] {
				seen[l.target] = true
				queue = append(queue, l.target)
			}
		}
	}
	var out []Complaint
	for page := range t.Markdown {
		if isBelow(page, "docs") && !seen[page] {
			out = append(out, Complaint{
				Path: page, What: "no link leads from " + index + " to this page",
				Instead: "add it to the index with one sentence of what it answers",
			})
		}
	}
	return out
}

// localLinks returns the links of a page that do not name another host.
func localLinks(page, text string) []link {
	var links []link
	for i, line := range proseLines(text) {
		line = codeSpan.ReplaceAllString(line, "")
		found := inlineLink.FindAllStringSubmatch(line, -1)
		found = append(found, referenceLink.FindAllStringSubmatch(line, -1)...)
		for _, m := range found {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Host != "" {
				continue
			}
			target := page
			if u.Path != "" {
				target = path.Join(path.Dir(page), u.Path)
			}
			links = append(links, link{line: i + 1, target: target, anchor: u.Fragment, raw: m[1]})
		}
	}
	return links
}

// proseLines returns the lines of a page with the fenced code blanked out.
func proseLines(text string) []string {
	lines := strings.Split(text, "\n")
	fence := ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
			fence = trimmed[:3]
		case fence != "" && strings.HasPrefix(trimmed, fence):
			fence = ""
		case fence == "":
			continue
		}
		lines[i] = ""
	}
	return lines
}

// anchors returns the fragments under which the headings of a page can be reached, built as GitHub builds them.
func anchors(text string) []string {
	var out []string
	count := map[string]int{}
	for _, line := range proseLines(text) {
		for _, m := range htmlAnchor.FindAllStringSubmatch(line, -1) {
			out = append(out, m[1])
		}
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		slug := linkText.ReplaceAllString(m[1], "$1")
		slug = notInSlug.ReplaceAllString(strings.ToLower(slug), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		if n := count[slug]; n > 0 {
			out = append(out, fmt.Sprintf("%s-%d", slug, n))
		} else {
			out = append(out, slug)
		}
		count[slug]++
	}
	return out
}
