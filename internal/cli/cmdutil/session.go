package cmdutil

import (
	"cmp"
	"context"
	"os"
	"slices"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/credstore"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// StoredLogin returns the credential store for the session's database.
func StoredLogin(env *Env, s *Session) credstore.Store {
	return credstore.New(config.StateDir(env.Getenv), env.Config.Profile, s.DB.Addr(), env.Getenv)
}

// OperatorCredential returns the strongest credential of this run: the database role, the token file, the stored login
// or a claimed name. It returns an error if the profile requires a stronger one. The operator of the profile is only a
// default. A name from --operator or CXGCTL_OPERATOR must match the credential. The exception: if the profile accepts
// claims, the name is used instead of the stored login of another user.
func OperatorCredential(env *Env, s *Session) (auth.Credential, error) {
	c := env.Config
	cred := auth.Credential{}
	named := c.Operator != "" && (c.Sources["operator"] == "--operator" || c.Sources["operator"] == "env CXGCTL_OPERATOR")
	if named {
		cred.Name = c.Operator
	}
	switch {
	case c.Auth.Require == "db_role":
		cred.DBRole = true
		return cred, nil
	case c.TokenFile != "":
		return fileCredential(env, s, cred)
	case c.Auth.Require == "claim" && c.Operator != "":
		l := StoredLogin(env, s).LoadInfo()
		if l != nil {
			if err := s.DB.Pipeline(env.Context, env.clock()); err != nil {
				return cred, db.Translate(err)
			}
		}
		if l == nil || !l.Expires.After(env.now()) || named && l.Username != c.Operator {
			cred.Name = c.Operator
			return cred, nil
		}
		if l.Username != c.Operator {
			break // the login takes precedence over the operator of the profile
		}
		cred.Name = c.Operator
		if l, err := StoredLogin(env, s).Load(); err != nil {
			env.Note("warning: %s; continuing without the login; to use it: %s", err, fault.From(err).Hint)
		} else if l != nil {
			cred.Token, cred.Optional = l.Token, true
		}
		return cred, nil
	}
	l, err := StoredLogin(env, s).Load()
	switch {
	case err != nil:
		return cred, err
	case l != nil:
		cred.Token = l.Token
	case c.Auth.Require == "login":
		return cred, fault.New(fault.Unauthenticated, "not logged in; this profile requires a login").
			WithHint("cxgctl auth login, or a key in CXGCTL_TOKEN_FILE").With("auth.require", c.Auth.Require)
	}
	return cred, nil
}

// fileCredential reads the token file, which holds a service key, a login token or an access token of the backend.
func fileCredential(env *Env, s *Session, cred auth.Credential) (auth.Credential, error) {
	token, err := config.ReadSecret("CXGCTL_TOKEN_FILE", env.Config.TokenFile, env.Getenv("CREDENTIALS_DIRECTORY"))
	if err != nil {
		return cred, err
	}
	if !auth.IsJWT(token) {
		cred.Token = token
		return cred, nil
	}
	secret, err := JWTSecret(env)
	if err != nil {
		return cred, err
	}
	if err := s.DB.Pipeline(env.Context, env.clock()); err != nil {
		return cred, db.Translate(err)
	}
	access, err := auth.ReadAccess(secret, token, env.now())
	cred.Access = &access
	return cred, err
}

// JWTSecret reads the secret with which the backend signs its tokens.
func JWTSecret(env *Env) (string, error) {
	if env.Config.Auth.JWTSecret == "" {
		return "", fault.New(fault.Unauthenticated, "cannot verify a token of the backend: auth.jwt_secret_file is not set").
			WithHint("set the file with the backend's secret in the profile: auth: {jwt_secret_file: F}")
	}
	return config.ReadSecret("auth.jwt_secret_file", env.Config.Auth.JWTSecret, env.Getenv("CREDENTIALS_DIRECTORY"))
}

// OpenSession connects, authenticates the operator and checks the command's permissions. A refusal is recorded as
// BLOCKED if there is an audit log. args are the arguments of the command.
func OpenSession(ctx context.Context, env *Env, cmd *cobra.Command, args ...string) (*Session, error) {
	s, err := env.OpenManager(ctx, cmd)
	if err != nil {
		return nil, err
	}
	cred, err := OperatorCredential(env, s)
	if err != nil {
		return s, err
	}
	err = Identify(ctx, env, s, cred, env.TablesOf(cmd)...)
	env.Tell("operator: %s (%s)", cmp.Or(s.Operator.Name, s.Operator.Claimed, "none"), env.identifiedBy(s.Operator.AuthMethod))
	if fault.Is(err, fault.Unauthenticated) && s.Operator.Claimed != "" {
		attributeToLogin(ctx, env, s, cred)
		about := audit.Subject{Resource: "user", Name: s.Operator.Claimed}
		recordBlocked(ctx, env, s, cmd, audit.Intent{Subject: about, Action: audit.Execute}, err)
	}
	if err != nil {
		return s, err
	}
	if s.Identity.Enforced && !env.Config.Auth.Enforce {
		return s, fault.New(fault.Validation, "%s:%d: auth.enforce_permissions cannot be false: permissions are enforced in this database", env.Config.File, env.Config.EnforceLine).
			WithHint("remove the key; enforcement cannot be switched off").With("file", env.Config.File).With("line", env.Config.EnforceLine)
	}
	env.warnOfExpiry(s.Identity)
	s.Identity.Mark(ctx, s.DB)
	if err := s.authorize(ctx, cmd, env.SpecOf(cmd)); err != nil {
		name := ""
		if len(args) > 0 {
			name = args[0]
		}
		recordBlocked(ctx, env, s, cmd, env.SpecOf(cmd).intent(name), err)
		return s, err
	}
	if err := s.Identity.Touch(ctx, s.DB); err != nil && ctx.Err() != nil {
		return s, err
	}
	return s, nil
}

// Identify resolves the credential to the operator of a session, with the operator's rights and the columns of the
// tables.
func Identify(ctx context.Context, env *Env, s *Session, cred auth.Credential, tables ...string) (err error) {
	s.Identity, s.Catalog, err = auth.Identify(ctx, s.DB, cred, tables, env.now, env.clock())
	s.Operator = s.Identity.Operator
	return err
}

// warnOfExpiry notes that the operator's key will expire soon.
func (env *Env) warnOfExpiry(who auth.Identity) {
	if who.AuthMethod != auth.MethodKey || who.Session.Expires == nil || who.Session.Expires.Infinity != pgtype.Finite {
		return
	}
	end := who.Session.Expires.Instant
	if left := end.Sub(env.now()); left <= auth.KeyWarning {
		env.Note("the key of %s expires on %s; replace it: cxgctl keys rotate %s", who.Name, env.Day(end), who.Session.ID)
	}
}

// identifiedBy returns how the operator is identified and where the name or the token comes from.
func (env *Env) identifiedBy(method string) string {
	source := ""
	switch method {
	case auth.MethodClaim:
		source = env.Config.Sources["operator"]
	case auth.MethodKey, auth.MethodJWT:
		source = env.Config.Sources["token_file"]
	}
	if source == "" {
		return method
	}
	return method + ", " + source
}

// attributeToLogin makes the owner of the stored login the operator in the audit row of a refused claim. The row keeps
// the claimed name too.
func attributeToLogin(ctx context.Context, env *Env, s *Session, cred auth.Credential) {
	if cred.Token != "" || cred.Access != nil || cred.DBRole {
		return
	}
	l, err := StoredLogin(env, s).Load()
	if err != nil || l == nil {
		return
	}
	owner, _, err := auth.Identify(ctx, s.DB, auth.Credential{Token: l.Token}, nil, env.now)
	if err == nil {
		claimed := s.Operator.Claimed
		s.Operator = owner.Operator
		s.Operator.Claimed = claimed
	}
}

// ReadTables reads the columns of the named tables.
func ReadTables(ctx context.Context, s *Session, names []string) (schema.Catalog, error) {
	names = slices.Clone(names)
	slices.Sort(names)
	return schema.Read(ctx, s.DB, slices.Compact(names)...)
}

// UserAgent returns the user agent in sessions and login logs.
func UserAgent() string {
	host, _ := os.Hostname()
	return "cxgctl/" + buildinfo.Version() + " (" + host + ")"
}
