// @generated automatically by Diesel CLI.

diesel::table! {
    announcement_reads (notification_id, user_id) {
        notification_id -> BigInt,
        user_id -> BigInt,
        read_at -> BigInt,
    }
}

diesel::table! {
    api_key_channels (key_id, channel_id) {
        key_id -> BigInt,
        channel_id -> BigInt,
    }
}

diesel::table! {
    api_keys (id) {
        id -> BigInt,
        name -> Text,
        user_id -> BigInt,
        digest -> Text,
        scopes -> SmallInt,
        is_limited -> Bool,
        mutations_per_second -> Nullable<BigInt>,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    channel_members (channel_id, user_id) {
        channel_id -> BigInt,
        user_id -> BigInt,
        since -> BigInt,
    }
}

diesel::table! {
    channel_reads (user_id, channel_id) {
        user_id -> BigInt,
        channel_id -> BigInt,
        message_id -> BigInt,
    }
}

diesel::table! {
    channels (id) {
        id -> BigInt,
        name -> Text,
        description -> Nullable<Text>,
        visibility -> SmallInt,
        owner_id -> Nullable<BigInt>,
        created_at -> BigInt,
        deleted_at -> Nullable<BigInt>,
        seq -> BigInt,
        tag -> BigInt,
        skeleton -> Text,
        named_at -> BigInt,
        emptied_at -> Nullable<BigInt>,
        look -> Text,
        publishing -> SmallInt,
    }
}

diesel::table! {
    comments (id) {
        id -> BigInt,
        message_id -> BigInt,
        content -> Text,
        author_id -> BigInt,
        created_at -> BigInt,
        updated_at -> BigInt,
        seq -> BigInt,
        tag -> BigInt,
    }
}

diesel::table! {
    deleted_identities (digest) {
        digest -> Text,
        deleted_at -> BigInt,
    }
}

diesel::table! {
    event_types (name) {
        name -> Text,
        description -> Nullable<Text>,
        schema -> Text,
        updated_at -> BigInt,
    }
}

diesel::table! {
    events (seq) {
        seq -> BigInt,
        tag -> BigInt,
        format -> SmallInt,
        kind -> SmallInt,
        object_id -> BigInt,
        channel_id -> Nullable<BigInt>,
        message_id -> Nullable<BigInt>,
        user_id -> Nullable<BigInt>,
        owner_id -> Nullable<BigInt>,
        actor_id -> Nullable<BigInt>,
        ticket -> Bool,
        audience -> Text,
        at -> BigInt,
        payload -> Nullable<Text>,
        app_type -> Nullable<Text>,
        key -> Nullable<Text>,
        key_digest -> Nullable<Text>,
    }
}

diesel::table! {
    idempotency_keys (author_id, key) {
        author_id -> BigInt,
        key -> Text,
        digest -> Text,
        message_id -> Nullable<BigInt>,
        comment_id -> Nullable<BigInt>,
        created_user_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    identities (issuer, subject) {
        issuer -> Text,
        subject -> Text,
        user_id -> BigInt,
        profile_at -> BigInt,
    }
}

diesel::table! {
    instances (id) {
        id -> BigInt,
        beat -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    invite_channels (invite_id, channel_id) {
        invite_id -> BigInt,
        channel_id -> BigInt,
    }
}

diesel::table! {
    invites (id) {
        id -> BigInt,
        code -> Text,
        role -> SmallInt,
        organization_id -> Nullable<BigInt>,
        location_id -> Nullable<BigInt>,
        max_uses -> Nullable<BigInt>,
        uses -> BigInt,
        created_at -> BigInt,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    locations (id) {
        id -> BigInt,
        organization_id -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    log_head (id) {
        id -> BigInt,
        head -> BigInt,
        access_head -> BigInt,
        pruned_at -> BigInt,
        removing_instance -> BigInt,
        removing_until -> BigInt,
        at -> BigInt,
        fence -> BigInt,
    }
}

diesel::table! {
    message_locations (message_id, location_id) {
        message_id -> BigInt,
        location_id -> BigInt,
    }
}

diesel::table! {
    messages (id) {
        id -> BigInt,
        channel_id -> BigInt,
        title -> Nullable<Text>,
        content -> Text,
        author_id -> BigInt,
        restricted -> Bool,
        ticket_status -> Nullable<SmallInt>,
        ticket_priority -> Nullable<SmallInt>,
        assignee_id -> Nullable<BigInt>,
        created_at -> BigInt,
        updated_at -> BigInt,
        seq -> BigInt,
        tag -> BigInt,
        deleted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    metrics (name) {
        name -> Text,
        value -> Double,
        updated_at -> BigInt,
    }
}

diesel::table! {
    notifications (id) {
        id -> BigInt,
        user_id -> Nullable<BigInt>,
        title -> Text,
        message -> Text,
        priority -> SmallInt,
        message_id -> Nullable<BigInt>,
        created_at -> BigInt,
        read_at -> Nullable<BigInt>,
        seq -> BigInt,
        tag -> BigInt,
        actor_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    organizations (id) {
        id -> BigInt,
        name -> Text,
    }
}

diesel::table! {
    outbox (id) {
        id -> BigInt,
        channel -> Text,
        #[sql_name = "type"]
        type_ -> Text,
        data -> Text,
        key -> Nullable<Text>,
    }
}

diesel::table! {
    outbox_rejected (id) {
        id -> BigInt,
        channel -> Text,
        #[sql_name = "type"]
        type_ -> Text,
        data -> Text,
        key -> Nullable<Text>,
        reason -> Text,
        detail -> Text,
        rejected_at -> BigInt,
    }
}

diesel::table! {
    password_resets (user_id) {
        user_id -> BigInt,
        digest -> Text,
        expires_at -> BigInt,
    }
}

diesel::table! {
    presence (instance_id, channel_id, user_id) {
        instance_id -> BigInt,
        channel_id -> BigInt,
        user_id -> BigInt,
    }
}

diesel::table! {
    sessions (id) {
        id -> BigInt,
        user_id -> BigInt,
        created_at -> BigInt,
        last_seen_at -> BigInt,
        expires_at -> BigInt,
        user_agent -> Nullable<Text>,
        family -> Text,
        secret -> Text,
    }
}

diesel::table! {
    sign_in_attempts (id) {
        id -> BigInt,
        key -> Text,
        at -> BigInt,
    }
}

diesel::table! {
    template_locations (template_id, location_id) {
        template_id -> BigInt,
        location_id -> BigInt,
    }
}

diesel::table! {
    templates (id) {
        id -> BigInt,
        name -> Text,
        content -> Text,
        author_id -> BigInt,
        restricted -> Bool,
        created_at -> BigInt,
        seq -> BigInt,
        tag -> BigInt,
    }
}

diesel::table! {
    user_removals (user_id) {
        user_id -> BigInt,
        has_texts -> Bool,
    }
}

diesel::table! {
    users (id) {
        id -> BigInt,
        username -> Text,
        display_name -> Text,
        password_hash -> Text,
        role -> SmallInt,
        disabled -> Bool,
        token_version -> BigInt,
        organization_id -> Nullable<BigInt>,
        location_id -> Nullable<BigInt>,
        created_at -> BigInt,
        skeleton -> Text,
        search -> Text,
        last_session -> BigInt,
        kind -> SmallInt,
        email -> Nullable<Text>,
        deleted_at -> Nullable<BigInt>,
        sessions_ended_at -> Nullable<BigInt>,
    }
}

diesel::joinable!(announcement_reads -> notifications (notification_id));
diesel::joinable!(announcement_reads -> users (user_id));
diesel::joinable!(api_key_channels -> api_keys (key_id));
diesel::joinable!(api_key_channels -> channels (channel_id));
diesel::joinable!(api_keys -> users (user_id));
diesel::joinable!(channel_members -> channels (channel_id));
diesel::joinable!(channel_members -> users (user_id));
diesel::joinable!(channel_reads -> channels (channel_id));
diesel::joinable!(channel_reads -> users (user_id));
diesel::joinable!(channels -> users (owner_id));
diesel::joinable!(comments -> messages (message_id));
diesel::joinable!(comments -> users (author_id));
diesel::joinable!(idempotency_keys -> comments (comment_id));
diesel::joinable!(idempotency_keys -> messages (message_id));
diesel::joinable!(idempotency_keys -> users (author_id));
diesel::joinable!(identities -> users (user_id));
diesel::joinable!(invite_channels -> channels (channel_id));
diesel::joinable!(invite_channels -> invites (invite_id));
diesel::joinable!(invites -> locations (location_id));
diesel::joinable!(invites -> organizations (organization_id));
diesel::joinable!(locations -> organizations (organization_id));
diesel::joinable!(message_locations -> locations (location_id));
diesel::joinable!(message_locations -> messages (message_id));
diesel::joinable!(messages -> channels (channel_id));
diesel::joinable!(notifications -> messages (message_id));
diesel::joinable!(notifications -> users (user_id));
diesel::joinable!(password_resets -> users (user_id));
diesel::joinable!(presence -> instances (instance_id));
diesel::joinable!(sessions -> users (user_id));
diesel::joinable!(template_locations -> locations (location_id));
diesel::joinable!(template_locations -> templates (template_id));
diesel::joinable!(templates -> users (author_id));
diesel::joinable!(user_removals -> users (user_id));
diesel::joinable!(users -> locations (location_id));
diesel::joinable!(users -> organizations (organization_id));

diesel::allow_tables_to_appear_in_same_query!(
    announcement_reads,
    api_key_channels,
    api_keys,
    channel_members,
    channel_reads,
    channels,
    comments,
    deleted_identities,
    event_types,
    events,
    idempotency_keys,
    identities,
    instances,
    invite_channels,
    invites,
    locations,
    log_head,
    message_locations,
    messages,
    metrics,
    notifications,
    organizations,
    outbox,
    outbox_rejected,
    password_resets,
    presence,
    sessions,
    sign_in_attempts,
    template_locations,
    templates,
    user_removals,
    users,
);
