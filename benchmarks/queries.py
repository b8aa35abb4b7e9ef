"""The SQL of the pages written by hand. `{where}` and `{order}` are filled in by the handler."""

CAP = 1000

SESSION = """
SELECT u.id, u.first_name, u.login, u.ui_language, r.name AS role, r.permissions
FROM sessions s JOIN users u ON u.id = s.user_id JOIN roles r ON r.id = u.role_id
WHERE s.token_hash = :key AND s.kind = 'cookie' AND s.revoked_at IS NULL AND s.expires_at > :now
  AND s.token_version = u.token_version AND u.is_active"""

TOKEN = "SELECT scopes FROM api_tokens WHERE token_hash = :key AND revoked_at IS NULL"

STUDENT_ROLE = "SELECT id FROM roles WHERE name = 'Ученик'"

USERS = """
SELECT u.id, u.first_name, u.last_name, u.username, u.telegram_id, u.language_code, u.source,
  u.is_active, u.blocked_bot_at, u.last_seen_at, u.created_at, u.search_key AS name,
  u.purchases, u.spent, u.erased_at,
  EXISTS (SELECT 1 FROM support_tickets t WHERE t.user_id = u.id
    AND t.waiting_since IS NOT NULL) AS waiting,
  (SELECT {gathered} FROM user_tags l JOIN tags g ON g.id = l.tag_id WHERE l.row_id = u.id) AS tags
FROM users u WHERE u.role_id = :role{where} ORDER BY {order} LIMIT :limit"""

USERS_COUNT = f"""
SELECT count(*) AS number FROM (SELECT 1 FROM users u WHERE u.role_id = :role{{where}}
  LIMIT {CAP + 1}) AS found"""

LOOKUP = """
SELECT id, telegram_id, username, first_name, last_name, language_code, ui_language, is_active,
  terms_accepted_at, created_at, updated_at, version FROM users WHERE telegram_id = :telegram_id"""

_QUEUE = """
SELECT t.id, t.subject, t.status, t.waiting_since, t.first_reply_at, t.last_message_at, t.user_id,
  u.first_name, u.last_name, t.assignee_id, a.first_name AS assignee,
  (SELECT substr(m.body, 1, 140) FROM messages m JOIN chats c ON c.id = m.chat_id
    WHERE c.ticket_id = t.id AND NOT m.internal ORDER BY m.id DESC LIMIT 1) AS excerpt
FROM support_tickets t JOIN users u ON u.id = t.user_id LEFT JOIN users a ON a.id = t.assignee_id
WHERE {} LIMIT :limit"""

QUEUE = {
    "waiting": _QUEUE.format("t.waiting_since IS NOT NULL ORDER BY t.waiting_since, t.id"),
    "mine": _QUEUE.format("t.assignee_id = :me AND t.status <> 'closed' ORDER BY t.last_message_at DESC, t.id DESC"),
    "all": _QUEUE.format("TRUE ORDER BY t.last_message_at DESC, t.id DESC"),
}

COUNTS = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM support_tickets WHERE waiting_since IS NOT NULL
    LIMIT :cap) AS w) AS waiting,
  (SELECT count(*) FROM (SELECT 1 FROM support_tickets WHERE assignee_id = :me
    AND status <> 'closed' LIMIT :cap) AS m) AS mine"""

STAFF = """
SELECT u.id, u.first_name FROM users u JOIN roles r ON r.id = u.role_id
WHERE r.name IN ('Админ', 'Поддержка') AND u.is_active ORDER BY u.search_key"""

TICKET = """
SELECT t.id, t.user_id, t.subject, t.message, t.status, t.assignee_id, t.waiting_since,
  t.first_reply_at, t.last_message_at, t.created_at, t.version, a.first_name AS assignee_name
FROM support_tickets t LEFT JOIN users a ON a.id = t.assignee_id WHERE t.id = :ticket"""

USER = """
SELECT id, first_name, last_name, username, telegram_id, language_code, ui_language,
  blocked_bot_at, last_seen_at, created_at FROM users WHERE id = :user"""

MESSAGES = """
SELECT m.id, m.side, m.body, m.internal, m.sender_id, m.created_at, u.first_name, u.last_name,
  d.state FROM chats c JOIN messages m ON m.chat_id = c.id LEFT JOIN users u ON u.id = m.sender_id
LEFT JOIN dispatches d ON d.message_id = m.id WHERE c.ticket_id = :ticket ORDER BY m.id LIMIT 500"""

EVENTS = """
SELECT c.before, c.after, s.at, u.first_name FROM changes c
JOIN change_sets s ON s.id = c.change_set_id LEFT JOIN users u ON u.id = s.actor_id
WHERE c.entity = 'support_tickets' AND c.entity_id = :ticket AND c.op = 'update'
ORDER BY c.id LIMIT 100"""

CARD = """
SELECT (SELECT coalesce(sum(CASE WHEN is_test THEN 0 ELSE amount END), 0) FROM purchases
    WHERE user_id = :user AND status = 'completed' AND revoked_at IS NULL) AS spent,
  (SELECT count(*) FROM purchases WHERE user_id = :user AND status = 'completed'
    AND revoked_at IS NULL) AS purchases,
  (SELECT count(*) FROM support_tickets WHERE user_id = :user) AS tickets,
  (SELECT count(*) FROM support_tickets WHERE user_id = :user AND status <> 'closed') AS open"""

OTHERS = """
SELECT id, subject, status, last_message_at FROM support_tickets
WHERE user_id = :user AND id <> :ticket ORDER BY last_message_at DESC LIMIT 5"""

PURCHASES = """
SELECT p.id, p.amount, p.status, p.is_test, p.revoked_at, p.payment_id, p.created_at, p.lesson_id,
  p.course_id, coalesce(l.title, c.title) AS title FROM purchases p
LEFT JOIN lessons l ON l.id = p.lesson_id LEFT JOIN courses c ON c.id = p.course_id
WHERE p.user_id = :user ORDER BY p.created_at DESC, p.id DESC LIMIT 20"""
