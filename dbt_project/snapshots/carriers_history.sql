{% snapshot carriers_history %}
    {{
        config(
            unique_key='carrier',
            strategy='check',
            check_cols=['carrier_name', 'carrier_group', 'flies_for'],
            hard_deletes='invalidate',
        )
    }}
    select carrier, carrier_name, carrier_group, flies_for
    from {{ ref('stg_carriers') }}
{% endsnapshot %}
