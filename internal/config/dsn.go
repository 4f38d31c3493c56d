package config

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// normalize returns a connection string as pgx reads it. The problem never quotes it. The database package
// checks the details.
func normalize(text string) (value any, problem string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, "must not be empty"
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil, "must not contain control characters"
	}
	const malformed = "is malformed: special characters in the user and the password, such as @ : / ? #, " +
		"must be percent-encoded"
	const wrong = "must be a postgres:// address or key=value settings"
	head, rest, isURL := strings.Cut(text, "://")
	if !isURL || strings.Contains(head, "=") {
		if !strings.Contains(text, "=") {
			return nil, wrong
		}
		return text, ""
	}
	switch strings.ToLower(head) {
	case "postgres", "postgresql":
	case "postgres+asyncpg", "postgresql+asyncpg":
		rest = fromAsyncpg(rest)
	default:
		return nil, wrong
	}
	if isAmbiguous(rest) {
		return nil, malformed
	}
	return "postgresql://" + rest, ""
}

// hosts matches the hosts and ports of a URL: names, addresses, socket folders with %2F, and {code}.
var hosts = sync.OnceValue(func() *regexp.Regexp {
	const host = `(\[[0-9A-Fa-f:.]+(%25[0-9A-Za-z._-]+)?\]|([\pL\pN._~{}-]|%2[Ff]|%40)*)(:[0-9]*)?`
	return regexp.MustCompile("^" + host + "(," + host + ")*$")
})

// isAmbiguous reports whether an address without its scheme would be split in the middle of a password with
// special characters. The rest of the password would become a host, a port or a database, which messages
// name.
func isAmbiguous(rest string) bool {
	if strings.Contains(rest, "#") {
		return true
	}
	authority, tail := rest, ""
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority, tail = rest[:end], rest[end:]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 && strings.Contains(tail, "@") {
		return true // the user ends behind the first slash
	}
	path, _, _ := strings.Cut(tail, "?")
	return strings.Contains(path, "@") || !hosts().MatchString(authority[at+1:])
}

// asyncpgParameters are parameters of the backend's driver, which a server refuses as unknown.
var asyncpgParameters = map[string]bool{
	"async_fallback": true, "prepared_statement_cache_size": true, "prepared_statement_name_func": true,
	"statement_cache_size": true, "max_cached_statement_lifetime": true, "max_cacheable_statement_size": true,
	"command_timeout": true,
}

// fromAsyncpg rewrites the part after the scheme of the backend's address. Its library, SQLAlchemy, accepts
// passwords with an unescaped '/', '#', '?' or '%', which a URL cannot contain, and calls sslmode "ssl".
func fromAsyncpg(rest string) string {
	user, password, given, rest := splitUser(rest)
	if user != "" || given {
		info := url.User(percentDecode(user))
		if given {
			info = url.UserPassword(percentDecode(user), percentDecode(password))
		}
		user = info.String() + "@"
	}
	place, query, asks := strings.Cut(rest, "?")
	if !asks {
		return user + place
	}
	var kept []string
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		switch {
		case asyncpgParameters[key]:
		case key == "ssl":
			kept = append(kept, "sslmode="+value)
		default:
			kept = append(kept, param)
		}
	}
	if len(kept) == 0 {
		return user + place
	}
	return user + place + "?" + strings.Join(kept, "&")
}

// splitUser cuts off "user:password@" as SQLAlchemy does: the user ends at the first colon, the
// password at the first @ after it.
func splitUser(rest string) (user, password string, given bool, place string) {
	end := strings.IndexAny(rest, ":/?")
	if end < 0 {
		end = len(rest)
	}
	if end < len(rest) && rest[end] == ':' {
		if secret, after, found := strings.Cut(rest[end+1:], "@"); found {
			return rest[:end], secret, true, after
		}
	}
	if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
		return rest[:at], "", false, rest[at+1:]
	}
	return "", "", false, rest
}

// percentDecode decodes %XX and keeps any other % as it is, like Python.
func percentDecode(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if s, err := url.PathUnescape(text[i : i+3]); err == nil {
				b.WriteString(s)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

var passwordSetting = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)password\s*=\s*[^\s&]`)
})

// holdsPassword reports whether text looks like a connection string with a password: after the user
// name, as a parameter or among key=value settings. It prefers false positives to missing one, so it examines
// the text instead of parsing it.
func holdsPassword(text string) bool {
	if strings.ContainsAny(text, "=") {
		decoded := percentDecode(text)
		if passwordSetting().MatchString(text) || passwordSetting().MatchString(decoded) {
			return true
		}
	}
	_, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return false
	}
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[:end], "@") && !strings.Contains(rest[end:], "@") {
		authority = rest[:end]
	}
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return false
	}
	_, secret, colon := strings.Cut(authority[:at], ":")
	return colon && secret != ""
}
