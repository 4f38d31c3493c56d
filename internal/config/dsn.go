package config

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// normalize gives a connection string as pgx reads it; the problem never quotes it. What the string
// means in detail is for the database package to judge.
func normalize(text string) (value any, problem string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, "must not be empty"
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil, "must not hold control characters"
	}
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
		return nil, "is malformed: special characters in the user and the password, such as @ : / ? #, must be percent-encoded"
	}
	return "postgresql://" + rest, ""
}

// hosts are the hosts of an address with their ports: names, addresses, folders of sockets with %2F, and {code}.
var hosts = sync.OnceValue(func() *regexp.Regexp {
	const host = `(\[[0-9A-Fa-f:.]+(%25[0-9A-Za-z._-]+)?\]|([\pL\pN._~{}-]|%2[Ff]|%40)*)(:[0-9]*)?`
	return regexp.MustCompile("^" + host + "(," + host + ")*$")
})

// misread says whether an address, all behind its scheme, would be split in the middle of a password with special
// characters: what follows these would then be taken for a host, a port or a database, which messages name.
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

// asyncpgOnly are settings of the backend's driver, which a server would refuse as unknown.
var asyncpgParameters = map[string]bool{
	"async_fallback": true, "prepared_statement_cache_size": true, "prepared_statement_name_func": true,
	"statement_cache_size": true, "max_cached_statement_lifetime": true, "max_cacheable_statement_size": true,
	"command_timeout": true,
}

// fromAsyncpg rewrites what follows the scheme of the backend's address. Its library, SQLAlchemy, takes
// a password with '/', '#', '?' or a stray '%' as it stands, which a URL may not hold, and names TLS "ssl".
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

// splitUser cuts "user:password@" off as SQLAlchemy does: the user ends at the first colon, the
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

// unescape decodes %XX and leaves a stray % alone, as Python does.
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

// holdsPassword says whether text looks like a connection string with a password in it: behind the
// user's name, as a parameter or among key=value settings. It would rather be wrong than miss one, and
// so judges the text, not what a parser makes of it.
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
