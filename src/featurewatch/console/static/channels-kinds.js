// The kinds of channels and what each needs, as forms ask for it. The bridge has the last word on what is valid.

/**
 * @typedef {object} Setting
 * @property {string} name @property {string} label @property {string} [help] @property {boolean} [required] @property {boolean} [secret]
 * @property {"text"|"flag"|"number"} [type] @property {string} [example]
 */

/** @type {Record<string, {label: string, settings: Setting[]}>} */
export const KINDS = {
  webhook: {
    label: "Webhook",
    settings: [
      { name: "url", label: "URL", help: "Gets Alertmanager's webhook JSON by POST. What follows “?” is kept as a secret.", required: true, example: "https://example.com/hook" },
      { name: "bearer_token", label: "Bearer token", help: "Sent as Authorization: Bearer.", secret: true },
      { name: "username", label: "User name", help: "For basic authentication, with a password." },
      { name: "password", label: "Password", secret: true },
    ],
  },
  email: {
    label: "E-mail",
    settings: [
      { name: "to", label: "To", help: "One or more addresses, separated by commas.", required: true, example: "ops@example.com" },
      { name: "from", label: "From", help: "Empty: the sender of your own Alertmanager configuration." },
      { name: "smarthost", label: "Mail server", help: "host:port. Empty: that of your own Alertmanager configuration.", example: "smtp.example.com:587" },
      { name: "username", label: "User name", help: "Who we are at the mail server, with a password." },
      { name: "password", label: "Password", secret: true },
      { name: "require_tls", label: "Encryption is required", help: "Off: mail goes unencrypted where the server knows no STARTTLS.", type: "flag" },
    ],
  },
  slack: {
    label: "Slack",
    settings: [
      { name: "webhook_url", label: "Webhook URL", help: "The address that Slack made for this channel.", required: true, secret: true, example: "https://hooks.slack.com/services/…" },
      { name: "channel", label: "Channel", help: "Another than the webhook's own.", example: "#ops" },
      { name: "username", label: "User name", help: "Who it comes from." },
    ],
  },
  pagerduty: {
    label: "PagerDuty",
    settings: [
      { name: "routing_key", label: "Integration key", help: "Of an Events API v2 integration.", required: true, secret: true },
      { name: "url", label: "URL", help: "Empty: PagerDuty's own." },
    ],
  },
  opsgenie: {
    label: "Opsgenie",
    settings: [
      { name: "api_key", label: "API key", help: "Of an API integration.", required: true, secret: true },
      { name: "url", label: "URL", help: "Empty: Opsgenie's own; in the EU https://api.eu.opsgenie.com." },
      { name: "team", label: "Team", help: "The team that is told." },
    ],
  },
  msteams: { label: "Microsoft Teams", settings: [{ name: "webhook_url", label: "Webhook URL", help: "Of a workflow, or of an older connector.", required: true, secret: true }] },
  discord: { label: "Discord", settings: [{ name: "webhook_url", label: "Webhook URL", help: "The address that Discord made for this channel.", required: true, secret: true }] },
  telegram: {
    label: "Telegram",
    settings: [
      { name: "bot_token", label: "Bot token", help: "As @BotFather gives it.", required: true, secret: true },
      { name: "chat_id", label: "Chat", help: "The number of the chat.", required: true, type: "number", example: "-1001234567890" },
      { name: "url", label: "URL", help: "Empty: Telegram's own." },
    ],
  },
  apprise: { label: "Apprise", settings: [{ name: "url", label: "Address", help: "As apprise takes it, for any of the services that it knows.", required: true, secret: true, example: "ntfy://ntfy.sh/…" }] },
};

/** What answers show in a secret's place; sent back, the secret stays. */
export const KEPT = "set";
